"""An encoder-decoder with Luong's general attention (2015, arXiv 1508.04025), teacher forcing.

It learns to spell phrases of Python's language reference, as shipped in the standard library,
backwards.  The decoder is an nn.LSTMCell in a Python loop with input feeding, as in the paper.
Source and target are padded to *time_steps*; the loss ignores the padding, but it takes memory.

    rnnprof profile --factory examples/seq2seq_attention.py:make --factory-arg hidden_size=256
    python examples/seq2seq_attention.py      (trains a small one and prints its loss)
"""

from __future__ import annotations

import random
from contextlib import nullcontext
from pydoc_data.topics import topics
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnnprof import Training

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rnnprof.factory import PhaseMarker

PADDING, END, START = range(3)  # ids


def read_text() -> str:
    """The text, with all white space replaced by single spaces."""
    return " ".join("\n".join(topics[name] for name in sorted(topics)).split())


def draw_pairs(text: str, batch: int, time_steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches of (sources, targets), both (batch, steps), each at least half full."""
    rank = {letter: i for i, letter in enumerate(sorted(set(text)), START + 1)}
    while True:
        sources, targets = torch.full((2, batch, time_steps), PADDING)
        for source, target in zip(sources, targets, strict=True):
            start = random.randrange(len(text) - time_steps)
            end = start + random.randint(time_steps // 2, time_steps - 1)
            letters = [rank[letter] for letter in text[start:end]]
            source[: len(letters) + 1] = torch.tensor([*letters, END])
            target[: len(letters) + 1] = torch.tensor([*reversed(letters), END])
        yield sources, targets


class Attention(nn.Linear):
    """Luong's general score of each source state for one decoder state; softmax; context."""

    def forward(self, query: Tensor, memory: Tensor, is_padding: Tensor) -> tuple[Tensor, Tensor]:
        """Context (batch, hidden) and weights (batch, steps), which sum to 1."""
        scores = torch.bmm(memory, super().forward(query).unsqueeze(2)).squeeze(2)
        weights = scores.masked_fill(is_padding, -torch.inf).softmax(dim=1)
        return torch.bmm(weights.unsqueeze(1), memory).squeeze(1), weights


class Translator(nn.Module):
    """Logits (batch, steps, letters) of each target letter given those before it."""

    def __init__(self, letters: int, embedding: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(letters, embedding, padding_idx=PADDING)
        self.encoder = nn.LSTM(embedding, hidden, batch_first=True)
        self.decoder = nn.LSTMCell(embedding + hidden, hidden)
        self.attention = Attention(hidden, hidden, bias=False)
        self.combine = nn.Linear(2 * hidden, hidden)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, letters)

    def forward(self, sources: Tensor, targets: Tensor) -> Tensor:
        is_padding = sources == PADDING
        embedded, lengths = self.dropout(self.embedding(sources)), (~is_padding).sum(dim=1).cpu()
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        states, ((h,), (c,)) = self.encoder(packed)  # of the single layer
        memory, _ = pad_packed_sequence(states, batch_first=True, total_length=sources.size(1))
        given = nn.functional.pad(targets[:, :-1], (1, 0), value=START)  # teacher forcing
        fed, combined = torch.zeros_like(h), []
        for letter in self.dropout(self.embedding(given)).unbind(dim=1):
            h, c = self.decoder(torch.cat((letter, fed), dim=1), (h, c))
            context, _ = self.attention(h, memory, is_padding)
            fed = torch.tanh(self.combine(torch.cat((context, h), dim=1)))
            combined.append(fed)
        return self.output(self.dropout(torch.stack(combined, dim=1)))  # one product for all steps


def make(
    batch: int, time_steps: int, device: torch.device | str, *,
    embedding_size: int = 256, hidden_size: int = 512,
    dropout: float = 0.2, learning_rate: float = 1e-3, clip: float = 5.0,
) -> Training:  # fmt: skip
    """rnnprof's factory: *time_steps* is the padded length of source and target, with end mark."""
    text = read_text()
    model = Translator(START + 1 + len(set(text)), embedding_size, hidden_size, dropout).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    pairs = draw_pairs(text, batch, time_steps)

    def step(phase: PhaseMarker) -> Tensor:
        with phase("data"):
            sources, targets = (part.to(device) for part in next(pairs))
        optimizer.zero_grad(set_to_none=True)
        with phase("forward"):
            logits = model(sources, targets).flatten(0, 1)
            loss = nn.functional.cross_entropy(logits, targets.flatten(), ignore_index=PADDING)
        with phase("backward"):
            loss.backward()
        with phase("optimizer"):
            nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
        return loss.detach()

    return Training(step, model=model, optimizer=optimizer, sequences_per_step=batch)


def main() -> None:
    """Train a small one; guessing each letter by frequency costs about 3.1 nats."""
    torch.manual_seed(0)
    random.seed(0)
    torch.set_num_threads(1)  # such small steps gain nothing from more
    training = make(32, 12, "cpu", embedding_size=32, hidden_size=96, learning_rate=4e-3)
    for step in range(0, 300, 50):
        losses = [training.step(nullcontext).item() for _ in range(50)]
        print(f"steps {step + 1}-{step + 50}: loss {sum(losses) / 50:.2f} nats a letter")


if __name__ == "__main__":
    main()
