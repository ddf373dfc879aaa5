"""A data set of 600 sequences: a larger batch is not used, and the last one is short."""

import argparse

import torch
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--length", type=int, default=20)
args = parser.parse_args()

model = torch.nn.GRU(4, 32, batch_first=True)
optimizer = torch.optim.Adam(model.parameters())
loader = DataLoader(TensorDataset(torch.randn(600, args.length, 4)), args.batch_size, shuffle=True)
for _ in range(100):
    for (batch,) in loader:
        optimizer.zero_grad()
        model(batch)[0].square().mean().backward()
        optimizer.step()
