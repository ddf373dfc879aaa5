"""A data set so small that three training steps use it up at any batch size."""

import sys

import torch

batch_size, length = int(sys.argv[1]), int(sys.argv[2])
model = torch.nn.GRU(4, 32, batch_first=True)
optimizer = torch.optim.Adam(model.parameters())
data = torch.randn(3 * batch_size, length, 4)
for batch in data.split(batch_size):
    optimizer.zero_grad()
    model(batch)[0].square().mean().backward()
    optimizer.step()
print("done")
