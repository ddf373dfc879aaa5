"""A data set in memory that is large beside what a training step takes."""

import argparse

import torch

parser = argparse.ArgumentParser()
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--length", type=int, default=20)
args = parser.parse_args()

data = torch.randn(40_000, args.length, 16)  # 49 MiB at 20 time steps
model = torch.nn.GRU(16, 32, batch_first=True)
optimizer = torch.optim.Adam(model.parameters())
for _ in range(200):
    batch = data[torch.randint(len(data), (args.batch_size,))]
    optimizer.zero_grad()
    model(batch)[0].square().mean().backward()
    optimizer.step()
