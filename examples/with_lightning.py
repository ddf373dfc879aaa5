"""rnnprof.largest_batch instead of Lightning's batch-size finder.

pip install 'rnnprof[peers]'
python examples/with_lightning.py
"""

from __future__ import annotations

import logging

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import rnnprof

STEPS, FEATURES, HIDDEN, CLASSES = 32, 32, 128, 10


class Classifier(lightning.LightningModule):
    """A GRU that classifies sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(FEATURES, HIDDEN, batch_first=True)
        self.output = nn.Linear(HIDDEN, CLASSES)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        hidden, _ = self.rnn(batch[0])
        return nn.functional.cross_entropy(self.output(hidden[:, -1]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters())


def train(batch_size: int, max_steps: int = 20) -> Classifier:
    """Train a classifier from scratch."""
    count = batch_size * max_steps
    data = TensorDataset(torch.randn(count, STEPS, FEATURES), torch.randint(CLASSES, (count,)))
    model = Classifier()
    trainer = lightning.Trainer(accelerator="cpu", max_steps=max_steps, barebones=True)
    trainer.fit(model, DataLoader(data, batch_size))
    return model


def main() -> None:
    """Find the batch on two steps, then train once."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    # before:  Tuner(trainer).scale_batch_size(model, mode="binsearch")
    found = rnnprof.largest_batch(
        lambda batch: train(batch, max_steps=2), memory_limit="64MiB", device="cpu", listener=print
    )
    assert found.train_with is not None, found.reason
    print(f"largest batch {found.batch}, training with {found.train_with}")
    train(found.train_with)


if __name__ == "__main__":
    main()
