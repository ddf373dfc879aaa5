"""The adding problem with a GRU: constants at the top, a loop, no function."""

import torch
from torch import nn

SEQ, BATCH = 30, 32
HIDDEN = 48
LEARNING_RATE = 1e-3
STEPS = 600

torch.manual_seed(1)
gru = nn.GRU(2, HIDDEN, batch_first=True)
head = nn.Linear(HIDDEN, 1)
optimizer = torch.optim.Adam([*gru.parameters(), *head.parameters()], lr=LEARNING_RATE)

for step in range(STEPS):
    numbers = torch.rand(BATCH, SEQ)
    marks = torch.zeros(BATCH, SEQ)
    marks.scatter_(1, torch.randint(0, SEQ // 2, (BATCH, 1)), 1.0)
    marks.scatter_(1, torch.randint(SEQ // 2, SEQ, (BATCH, 1)), 1.0)
    inputs = torch.stack([numbers, marks], dim=2)
    targets = (numbers * marks).sum(1, keepdim=True)

    optimizer.zero_grad()
    outputs, _ = gru(inputs)
    loss = nn.functional.mse_loss(head(outputs[:, -1]), targets)
    loss.backward()
    optimizer.step()
    if step % 100 == 0:
        print(f"step {step}: loss {loss.item():.4f}")
