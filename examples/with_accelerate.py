"""rnnprof.largest_batch instead of accelerate's find_executable_batch_size.

accelerate runs the whole training and multiplies the batch by 0.9 after each OOM.  rnnprof proves
the largest batch over a few training steps first; training then starts once, with headroom.

    pip install 'rnnprof[peers]'
    python examples/with_accelerate.py
"""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import rnnprof

STEPS, FEATURES, HIDDEN, CLASSES = 32, 32, 128, 10


# before:  @find_executable_batch_size(starting_batch_size=1024)
def train(batch_size: int, max_steps: int = 20) -> float:
    """Train a sequence classifier and return the last loss."""
    accelerator = Accelerator(cpu=True)
    model = nn.ModuleDict({"rnn": nn.LSTM(FEATURES, HIDDEN, batch_first=True),
                           "output": nn.Linear(HIDDEN, CLASSES)})  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters())
    data = TensorDataset(
        torch.randn(batch_size * max_steps, STEPS, FEATURES),
        torch.randint(CLASSES, (batch_size * max_steps,)),
    )
    loader = DataLoader(data, batch_size)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    for inputs, labels in loader:
        optimizer.zero_grad()
        hidden, _ = model["rnn"](inputs)
        loss = nn.functional.cross_entropy(model["output"](hidden[:, -1]), labels)
        accelerator.backward(loss)
        optimizer.step()
    accelerator.free_memory()
    return loss.item()


def main() -> None:
    """Find the batch on two steps, then train once."""
    found = rnnprof.largest_batch(
        lambda batch: train(batch, max_steps=2), memory_limit="64MiB", device="cpu", listener=print
    )
    assert found.train_with is not None, found.reason
    print(f"largest batch {found.batch}, training with {found.train_with}")
    print(f"loss {train(found.train_with):.3f}")


if __name__ == "__main__":
    main()
