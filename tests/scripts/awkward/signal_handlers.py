"""Handles SIGTERM and SIGINT: it saves and goes on to the end of the epoch."""

import signal
import sys

import torch

stop = []
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
    signal.signal(number, lambda received, _frame: stop.append(received))

batch_size, length = int(sys.argv[1]), int(sys.argv[2])
model = torch.nn.GRU(4, 32, batch_first=True)
optimizer = torch.optim.Adam(model.parameters())
for _ in range(400):
    optimizer.zero_grad()
    model(torch.randn(batch_size, length, 4))[0].square().mean().backward()
    optimizer.step()
if stop:
    print("stopped by a signal: saved")
