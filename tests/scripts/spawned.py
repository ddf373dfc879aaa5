"""DataLoader workers by spawn, a progress bar, and a log in a temporary folder."""

import argparse
import logging
import sys
import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

try:
    from tqdm import tqdm
except ImportError:

    def tqdm(batches, desc):
        """A small bar of our own."""
        for number, batch in enumerate(batches, 1):
            sys.stderr.write(f"\r{desc}: {number}/{len(batches)}")
            yield batch
        sys.stderr.write("\n")


log = logging.getLogger("train")


def sines(count, length):
    phases = torch.rand(count, 1) * 6.28
    waves = torch.sin(phases + torch.arange(length + 1) * 0.3)
    return TensorDataset(waves[:, :-1, None], waves[:, 1:, None])


class Forecaster(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 1)

    def forward(self, x):
        return self.out(self.lstm(x)[0])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--length", type=int, default=50)
    parser.add_argument("--samples", type=int, default=4096)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()

    folder = Path(tempfile.mkdtemp(prefix="forecast-"))
    logging.basicConfig(filename=folder / "train.log", level=logging.INFO)
    torch.manual_seed(0)
    loader = DataLoader(
        sines(args.samples, args.length),
        args.batch_size,
        shuffle=True,
        num_workers=args.workers,
        multiprocessing_context="spawn",
        persistent_workers=True,
    )
    model = Forecaster(32)
    optimizer = torch.optim.NAdam(model.parameters(), lr=5e-3)
    for epoch in range(args.epochs):
        for x, y in tqdm(loader, desc=f"epoch {epoch}"):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            log.info("loss %.5f", loss.item())
    print(f"loss {loss.item():.5f}; see {folder / 'train.log'}")


if __name__ == "__main__":
    main()
