"""A LightningModule and Lightning's Trainer."""

import argparse
import tempfile

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Counter(lightning.LightningModule):
    """Counts the ones in a sequence of bits."""

    def __init__(self, hidden, lr):
        super().__init__()
        self.lr = lr
        self.gru = nn.GRU(1, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 1)

    def forward(self, bits):
        return self.out(self.gru(bits)[0][:, -1]).squeeze(1)

    def training_step(self, batch, _):
        bits, counts = batch
        loss = nn.functional.mse_loss(self(bits), counts)
        self.log("loss", loss)
        return loss

    def validation_step(self, batch, _):
        bits, counts = batch
        self.log("val_loss", nn.functional.mse_loss(self(bits), counts))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


def bits(count, length):
    drawn = torch.randint(0, 2, (count, length, 1)).float()
    return TensorDataset(drawn, drawn.mean((1, 2)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--length", type=int, default=40)
    parser.add_argument("--samples", type=int, default=8192)
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()

    lightning.seed_everything(0)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=args.epochs,
        gradient_clip_val=1.0,
        default_root_dir=tempfile.mkdtemp(prefix="counter-"),
        logger=False,
        enable_checkpointing=False,
    )
    trainer.fit(
        Counter(48, 2e-3),
        DataLoader(bits(args.samples, args.length), args.batch_size, shuffle=True),
        DataLoader(bits(256, args.length), 64),
    )


if __name__ == "__main__":
    main()
