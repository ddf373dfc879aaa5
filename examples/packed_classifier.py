"""A text classifier on packed sequences of mixed length: bidirectional LSTM or GRU, last states.

It predicts which chapter of Python's language reference, as shipped in the standard library, a
passage comes from.  Lengths range from a quarter of *time_steps* to *time_steps*, and at least one
in each batch is *time_steps*, so T is the longest.  The size of the recurrence's tensors depends on
the sum of the lengths, so training steps differ in memory.

    rnnprof profile --factory examples/packed_classifier.py:make --factory-arg cell=gru
    python examples/packed_classifier.py      (trains a small one and prints its loss)
"""

from __future__ import annotations

import math
import re
from collections import Counter
from contextlib import nullcontext
from itertools import chain
from pydoc_data.topics import topics
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from rnnprof import Training

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rnnprof.factory import PhaseMarker

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU}
CHAPTERS = 8  # the classes; the other chapters are short
PADDING, UNKNOWN = range(2)  # ids


def read_chapters() -> list[list[str]]:
    """The words of the longest chapters; a shared paragraph belongs to the longer chapter."""
    seen, chapters = set(), []
    for text in sorted(topics.values(), key=len, reverse=True):
        own = [part for part in text.split("\n\n") if part not in seen]
        seen.update(own)
        chapters.append(re.findall(r"\w+|[^\w\s]", "\n\n".join(own)))
    return sorted(chapters, key=len, reverse=True)[:CHAPTERS]


def number(chapters: list[list[str]], vocabulary: int) -> list[Tensor]:
    """Each chapter as ids: 2 and up by frequency rank, UNKNOWN for every rarer word."""
    common = Counter(chain.from_iterable(chapters)).most_common(vocabulary - UNKNOWN - 1)
    rank = {word: i for i, (word, _) in enumerate(common, UNKNOWN + 1)}
    return [torch.tensor([rank.get(word, UNKNOWN) for word in words]) for words in chapters]


def draw_passages(
    chapters: list[Tensor], batch: int, time_steps: int
) -> Iterator[tuple[Tensor, ...]]:
    """Endless batches of (words (batch, steps), lengths (batch), labels (batch))."""
    chapters = [ids.repeat(math.ceil(time_steps / len(ids))) for ids in chapters]  # repeat
    while True:
        labels = torch.randint(len(chapters), (batch,))
        lengths = torch.randint(math.ceil(time_steps / 4), time_steps + 1, (batch,))
        lengths[torch.randint(batch, ())] = time_steps
        words = torch.full((batch, time_steps), PADDING)
        for row, label, length in zip(words, labels, lengths, strict=True):
            start = torch.randint(len(chapters[label]) - length + 1, ())
            row[:length] = chapters[label][start : start + length]
        yield words, lengths, labels


class Classifier(nn.Module):
    """Logits (batch, chapters) from the last layer's last states, one in each direction."""

    def __init__(
        self, cell: str, vocabulary: int, embedding: int, hidden: int, layers: int, dropout: float
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding, padding_idx=PADDING)
        between = dropout if layers > 1 else 0.0  # dropout between layers
        self.rnn = CELLS[cell](embedding, hidden, layers, dropout=between, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * hidden, CHAPTERS)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        embedded = self.dropout(self.embedding(words))
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        _, last = self.rnn(packed)
        hidden = last[0] if isinstance(last, tuple) else last  # an LSTM returns (h, c)
        return self.output(self.dropout(torch.cat((hidden[-2], hidden[-1]), dim=1)))


def make(
    batch: int, time_steps: int, device: torch.device | str, *,
    cell: str = "lstm", embedding_size: int = 300,
    hidden_size: int = 256, layers: int = 2, vocabulary: int = 4000, dropout: float = 0.3,
    learning_rate: float = 1e-3, clip: float = 1.0,
) -> Training:  # fmt: skip
    """rnnprof's factory: *time_steps* is the length of each batch's longest passage."""
    sizes = (vocabulary, embedding_size, hidden_size, layers, dropout)
    model = Classifier(cell, *sizes).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    passages = draw_passages(number(read_chapters(), vocabulary), batch, time_steps)

    def step(phase: PhaseMarker) -> Tensor:
        with phase("data"):
            words, lengths, labels = next(passages)
            words, labels = words.to(device), labels.to(device)  # packing reads lengths on the CPU
        optimizer.zero_grad(set_to_none=True)
        with phase("forward"):
            loss = nn.functional.cross_entropy(model(words, lengths), labels)
        with phase("backward"):
            loss.backward()
        with phase("optimizer"):
            nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
        return loss.detach()

    return Training(step, model=model, optimizer=optimizer, sequences_per_step=batch)


def main() -> None:
    """Train a small one; guessing costs log(8) = 2.08 nats."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # such small steps gain nothing from more
    sizes = {"embedding_size": 32, "hidden_size": 48, "layers": 1, "dropout": 0.1}
    training = make(32, 40, "cpu", **sizes, learning_rate=5e-3)
    for step in range(0, 250, 50):
        losses = [training.step(nullcontext).item() for _ in range(50)]
        print(f"steps {step + 1}-{step + 50}: loss {sum(losses) / 50:.2f} nats a passage")


if __name__ == "__main__":
    main()
