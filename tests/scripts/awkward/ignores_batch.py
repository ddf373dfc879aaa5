"""Takes --batch-size, and trains with another: the placeholder has no effect."""

import argparse

import torch

parser = argparse.ArgumentParser()
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--length", type=int, default=20)
args = parser.parse_args()

MINIBATCH = 32  # left from an experiment
model = torch.nn.GRU(4, 32, batch_first=True)
optimizer = torch.optim.Adam(model.parameters())
for _ in range(200):
    optimizer.zero_grad()
    model(torch.randn(MINIBATCH, args.length, 4))[0].square().mean().backward()
    optimizer.step()
