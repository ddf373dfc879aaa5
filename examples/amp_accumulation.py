"""A character-level GRU in mixed precision, with gradient accumulation over micro-batches.

It uses a gradient scaler for float16, gradient clipping, a learning-rate schedule, and a DataLoader
whose worker processes cut windows out of Python's language reference, as shipped in the standard
library.

Each DataLoader worker is a process.  Its prefetched batches (two for each worker) are in shared
memory, which the CPU's limit does not count and the allocator does not see.

The cell is a GRU because under autocast on the CPU a whole LSTM is passed to oneDNN, which raises
"could not create a primitive descriptor" in bfloat16 without AVX-512, and in float16 on most
processors.

    rnnprof profile --factory examples/amp_accumulation.py:make --factory-arg accumulate=8
    python examples/amp_accumulation.py      (trains a small one and prints its loss)
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from itertools import chain, repeat
from pydoc_data.topics import topics
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset

from rnnprof import Training

if TYPE_CHECKING:
    from rnnprof.factory import PhaseMarker

MIN_BATCHES = 16  # in one pass over the text


def read_letters() -> Tensor:
    """The text as ids of its letters, by alphabet."""
    text = "\n".join(topics[name] for name in sorted(topics))
    rank = {letter: i for i, letter in enumerate(sorted(set(text)))}
    return torch.tensor([rank[letter] for letter in text], dtype=torch.uint8)


class Windows(Dataset):
    """The text cut into (inputs, next letters) of (steps) each."""

    def __init__(self, ids: Tensor, batch: int, time_steps: int) -> None:
        shortest = MIN_BATCHES * batch * time_steps + 1  # one more letter for the last target
        self.ids = ids.repeat(math.ceil(shortest / len(ids)))  # repeat a short text
        self.time_steps = time_steps

    def __len__(self) -> int:
        return (len(self.ids) - 1) // self.time_steps

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        letters = self.ids[index * self.time_steps : (index + 1) * self.time_steps + 1].long()
        return letters[:-1], letters[1:]


class LetterModel(nn.Module):
    """Logits (batch, steps, letters) of each next letter."""

    def __init__(self, cell: str, letters: int, embedding: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(letters, embedding)
        self.rnn = getattr(nn, cell.upper())(embedding, hidden, layers, batch_first=True)
        self.output = nn.Linear(hidden, letters)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.output(self.rnn(self.embedding(inputs))[0])


def make(
    batch: int, time_steps: int, device: torch.device | str, *,
    cell: str = "gru", embedding_size: int = 64,
    hidden_size: int = 512, layers: int = 2, accumulate: int = 4, dtype: str | None = None,
    learning_rate: float = 2e-3, warmup: int = 50, clip: float = 1.0, num_workers: int = 2,
) -> Training:  # fmt: skip
    """rnnprof's factory: *batch* is a micro-batch; *dtype* float32, bfloat16 or float16."""
    kind, ids = torch.device(device).type, read_letters()
    precision = getattr(torch, dtype or ("float16" if kind == "cuda" else "bfloat16"))
    loader = DataLoader(
        Windows(ids, batch, time_steps), batch_size=batch, shuffle=True, drop_last=True,
        num_workers=num_workers, persistent_workers=num_workers > 0, pin_memory=kind == "cuda",
    )  # fmt: skip
    model = LetterModel(cell, int(ids.max()) + 1, embedding_size, hidden_size, layers).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    schedule = LambdaLR(  # rises for *warmup* steps, then falls with the square root of the step
        optimizer, lambda done: min((done + 1) / warmup, math.sqrt(warmup / (done + 1)))
    )
    scaler = torch.amp.GradScaler(kind, enabled=precision is torch.float16)
    windows = chain.from_iterable(repeat(loader))  # epoch after epoch

    def step(phase: PhaseMarker) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        losses = []
        for _ in range(accumulate):
            with phase("data"):
                inputs, targets = (part.to(device, non_blocking=True) for part in next(windows))
            with phase("forward"), torch.autocast(kind, precision, precision is not torch.float32):
                # a variable would keep the logits alive during the next forward pass
                loss = nn.functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
            with phase("backward"):
                scaler.scale(loss / accumulate).backward()
            losses.append(loss.detach())
        with phase("optimizer"):
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), clip)
            scale = scaler.get_scale()
            scaler.step(optimizer)
            scaler.update()
            if scaler.get_scale() >= scale:  # else it overflowed: no step was taken
                schedule.step()
            return torch.stack(losses).mean()

    return Training(step, model=model, optimizer=optimizer, sequences_per_step=batch * accumulate)


def main() -> None:
    """Train a small one; guessing each letter by frequency costs about 3.2 nats."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # such small steps gain nothing from more
    training = make(16, 32, "cpu", hidden_size=96, layers=1, accumulate=2, learning_rate=1e-2)
    for step in range(0, 200, 40):
        losses = [training.step(nullcontext).item() for _ in range(40)]
        print(f"steps {step + 1}-{step + 40}: loss {sum(losses) / 40:.2f} nats a letter")


if __name__ == "__main__":
    main()
