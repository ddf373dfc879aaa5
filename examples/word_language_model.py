"""A word language model of AWD-LSTM's shape (Merity 2018, arXiv 1708.02182), truncated BPTT.

Sizes are the published ones.  Plain dropout at one rate replaces the paper's kinds of dropout; its
weight drop, averaged SGD and penalties are left out.  The text is Python's language reference, as
shipped in the standard library.  It has about 4,000 distinct words, fewer than 10,000; the other
rows of the softmax are never a target and only add their cost.

    rnnprof profile --factory examples/word_language_model.py:make --factory-arg hidden_size=256
    python examples/word_language_model.py      (trains a small one and prints its loss)
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import nullcontext
from itertools import pairwise
from pydoc_data.topics import topics
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from rnnprof import Training

if TYPE_CHECKING:
    from rnnprof.factory import PhaseMarker

MIN_CHUNKS = 4  # in one pass over the text, so that state is carried at large sizes too
OPTIMIZERS = {  # with its learning rate: torch's default; the paper's, stable with clipping
    "adamw": (torch.optim.AdamW, 1e-3),
    "sgd": (torch.optim.SGD, 30.0),
}


def read_words() -> list[str]:
    """The text as words and punctuation marks."""
    return re.findall(r"\w+|[^\w\s]", "\n".join(topics[name] for name in sorted(topics)))


def number(words: list[str], vocabulary: int) -> tuple[Tensor, list[str]]:
    """The id of each word, by frequency rank, and the word of each id; id 0 is every rarer word."""
    ranked = ["<unk>", *(word for word, _ in Counter(words).most_common(vocabulary - 1))]
    rank = {word: i for i, word in enumerate(ranked)}
    return torch.tensor([rank.get(word, 0) for word in words]), ranked


class Chunks(Dataset):
    """The text in *batch* contiguous columns, cut into (inputs, next words) of (steps, batch)."""

    def __init__(self, ids: Tensor, batch: int, time_steps: int) -> None:
        shortest = batch * (MIN_CHUNKS * time_steps + 1)  # one more word for the last target
        ids = ids.repeat(-(-shortest // len(ids)))  # repeat a short text
        length = len(ids) // batch
        self.columns = ids[: batch * length].view(batch, length).t().contiguous()
        self.time_steps = time_steps

    def __len__(self) -> int:
        return (len(self.columns) - 1) // self.time_steps

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        words = self.columns[index * self.time_steps : (index + 1) * self.time_steps + 1]
        return words[:-1], words[1:]


class LanguageModel(nn.Module):
    """Single-layer LSTMs: their widths differ because the last must match the embedding."""

    def __init__(self, vocabulary: int, embedding: int, hidden: int, layers: int, dropout: float):
        super().__init__()
        widths = [embedding, *[hidden] * (layers - 1), embedding]
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.lstms = nn.ModuleList(nn.LSTM(size, width) for size, width in pairwise(widths))
        self.dropout = nn.Dropout(dropout)
        self.softmax = nn.Linear(embedding, vocabulary)
        self.softmax.weight = self.embedding.weight
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)

    def zero_state(self, batch: int) -> list[tuple[Tensor, Tensor]]:
        """(h, c) of each layer before the first word, as tensors: these cost what later ones do."""
        new = self.embedding.weight.new_zeros
        return [tuple(new(1, batch, lstm.hidden_size) for _ in "hc") for lstm in self.lstms]

    def forward(
        self, inputs: Tensor, targets: Tensor, state: list[tuple[Tensor, Tensor]],
        *, last_only: bool = False,
    ):  # fmt: skip
        """The mean loss over the chunk's words, in nats, and the state after it, detached."""
        hidden, after = self.dropout(self.embedding(inputs)), []
        for lstm, before in zip(self.lstms, state, strict=True):
            hidden, (h, c) = lstm(hidden, before)
            hidden = self.dropout(hidden)
            after.append((h.detach(), c.detach()))
        if last_only:
            hidden, targets = hidden[-1:], targets[-1:]
        logits = self.softmax(hidden).flatten(0, 1)  # the largest tensor; no caller keeps it alive
        return nn.functional.cross_entropy(logits, targets.flatten()), after


def read_for_ever(loader: DataLoader):
    """Endless chunks, each with whether the text starts over there."""
    while True:
        for index, chunk in enumerate(loader):
            yield index == 0, chunk


def make(
    batch: int, time_steps: int, device: torch.device | str, *,
    embedding_size: int = 400, hidden_size: int = 1150,
    layers: int = 3, vocabulary: int = 10_000, dropout: float = 0.4, optimizer: str = "adamw",
    learning_rate: float | None = None, clip: float = 0.25, num_workers: int = 0,
) -> Training:  # fmt: skip
    """rnnprof's factory: *time_steps* is the length of BPTT."""
    ids, _ = number(read_words(), vocabulary)
    loader = DataLoader(
        Chunks(ids, batch, time_steps), batch_size=None, num_workers=num_workers,
        persistent_workers=num_workers > 0, pin_memory=torch.device(device).type == "cuda",
    )  # fmt: skip
    model = LanguageModel(vocabulary, embedding_size, hidden_size, layers, dropout).to(device)
    rule, default_rate = OPTIMIZERS[optimizer]
    updates = rule(model.parameters(), lr=learning_rate or default_rate)
    chunks, state = read_for_ever(loader), None

    def step(phase: PhaseMarker) -> Tensor:
        nonlocal state  # carried from chunk to chunk; its gradient is not
        with phase("data"):
            starts_over, chunk = next(chunks)
            inputs, targets = (part.to(device, non_blocking=True) for part in chunk)
            state = model.zero_state(batch) if starts_over else state
        updates.zero_grad(set_to_none=True)
        with phase("forward"):
            loss, state = model(inputs, targets, state)
        with phase("backward"):
            loss.backward()
        with phase("optimizer"):
            nn.utils.clip_grad_norm_(model.parameters(), clip)
            updates.step()
        return loss.detach()

    def probe() -> tuple[Tensor, Tensor]:
        """The words of a chunk and the loss of its last word alone, for the gradient's reach."""
        inputs, targets = (part.to(device) for part in next(chunks)[1])
        return inputs, model(inputs, targets, model.zero_state(batch), last_only=True)[0]

    return Training(step, model=model, optimizer=updates, sequences_per_step=batch, probe=probe)


def main() -> None:
    """Train a small one; below 5.2 nats, the entropy of its words alone, it has learned order."""
    torch.manual_seed(0)
    sizes = {"embedding_size": 64, "hidden_size": 128, "layers": 2, "vocabulary": 2000}
    training = make(20, 35, "cpu", **sizes, dropout=0.1, optimizer="sgd")
    for step in range(0, 300, 50):
        losses = [training.step(nullcontext).item() for _ in range(50)]
        print(f"steps {step + 1}-{step + 50}: loss {sum(losses) / 50:.2f} nats a word")


if __name__ == "__main__":
    main()
