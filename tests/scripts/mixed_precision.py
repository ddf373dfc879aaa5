"""Autocast, GradScaler and gradient accumulation: four micro-batches a training step."""

import argparse

import torch
from torch import nn

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Classifier(nn.Module):
    def __init__(self, features, hidden, classes):
        super().__init__()
        self.gru = nn.GRU(features, hidden, batch_first=True)
        self.head = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes))

    def forward(self, x):
        return self.head(self.gru(x)[0].mean(1))


def parsed():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--micro-batch", type=int, default=16)
    parser.add_argument("--accumulate", type=int, default=4)
    parser.add_argument("--length", type=int, default=30)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--precision", choices=DTYPES, default="bf16")
    return parser.parse_args()


def main():
    args = parsed()
    torch.manual_seed(0)
    model = Classifier(8, 48, 5)
    optimizer = torch.optim.Adam(model.parameters())
    scaler = torch.amp.GradScaler("cpu", enabled=args.precision == "fp16")
    for step in range(args.steps):
        total = 0.0
        for _ in range(args.accumulate):
            x = torch.randn(args.micro_batch, args.length, 8)
            y = x.sum(1).argmax(1) % 5
            with torch.autocast("cpu", dtype=DTYPES[args.precision]):
                loss = nn.functional.cross_entropy(model(x), y) / args.accumulate
            scaler.scale(loss).backward()
            total += loss.item()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        if step % 50 == 0:
            print(f"step {step}: loss {total:.3f}")


if __name__ == "__main__":
    main()
