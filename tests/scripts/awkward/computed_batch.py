"""The batch is computed from another constant: only PER_WORKER can be assigned."""

import torch

WORKERS = 2
PER_WORKER = 16
BATCH = PER_WORKER * WORKERS
SEQ = 20

model = torch.nn.GRU(4, 32, batch_first=True)
optimizer = torch.optim.Adam(model.parameters())
for _ in range(200):
    optimizer.zero_grad()
    model(torch.randn(BATCH, SEQ, 4))[0].square().mean().backward()
    optimizer.step()
