"""Asks on the terminal before it trains; without an answer it takes the default."""

import sys

import torch

print("learning rate [0.001]: ", end="", flush=True)
rate = float(sys.stdin.readline().strip() or 0.001)
batch_size, length = int(sys.argv[1]), int(sys.argv[2])
model = torch.nn.GRU(4, 32, batch_first=True)
optimizer = torch.optim.Adam(model.parameters(), lr=rate)
for _ in range(200):
    optimizer.zero_grad()
    model(torch.randn(batch_size, length, 4))[0].square().mean().backward()
    optimizer.step()
