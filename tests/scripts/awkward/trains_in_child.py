"""Forks, and the child trains: the process that was started only waits."""

import os
import sys
import time

import torch


def train(batch_size, length):
    torch.set_num_threads(1)
    model = torch.nn.GRU(4, 32, batch_first=True)
    optimizer = torch.optim.Adam(model.parameters())
    while time.process_time() < 1.0:  # as long on any machine
        optimizer.zero_grad()
        model(torch.randn(batch_size, length, 4))[0].square().mean().backward()
        optimizer.step()


pid = os.fork()
if pid == 0:
    train(int(sys.argv[1]), int(sys.argv[2]))
    os._exit(0)
_, status = os.waitpid(pid, 0)
print(f"the child ended with {status}")
