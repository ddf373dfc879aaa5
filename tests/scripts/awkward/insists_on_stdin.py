"""Asks on the terminal with input(): without a terminal Python raises EOFError."""

import torch

name = input("name of the run: ")
model = torch.nn.GRU(4, 32)
optimizer = torch.optim.Adam(model.parameters())
for _ in range(200):
    optimizer.zero_grad()
    model(torch.randn(10, 4, 4))[0].square().mean().backward()
    optimizer.step()
