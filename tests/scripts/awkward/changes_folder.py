"""Works in a temporary folder of its own, and writes there by relative names."""

import os
import sys
import tempfile
from pathlib import Path

import torch

os.chdir(tempfile.mkdtemp(prefix="run-"))
batch_size, length = int(sys.argv[1]), int(sys.argv[2])
model = torch.nn.GRU(4, 32, batch_first=True)
optimizer = torch.optim.Adam(model.parameters())
for step in range(200):
    optimizer.zero_grad()
    loss = model(torch.randn(batch_size, length, 4))[0].square().mean()
    loss.backward()
    optimizer.step()
    with Path("losses.txt").open("a") as file:
        file.write(f"{step} {loss.item()}\n")
