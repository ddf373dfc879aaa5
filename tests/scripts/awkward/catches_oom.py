"""Out of memory: skips the batch, says so, and goes on with the next."""

import sys

import torch

batch_size, length = int(sys.argv[1]), int(sys.argv[2])
model = torch.nn.GRU(4, 48, batch_first=True)
optimizer = torch.optim.Adam(model.parameters())
skipped = 0
for step in range(300):
    try:
        optimizer.zero_grad()
        loss = model(torch.randn(batch_size, length, 4))[0].square().mean()
        loss.backward()
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        skipped += 1
        print(f"| WARNING: ran out of memory in step {step}, skipping the batch")
        continue
    optimizer.step()
print(f"{skipped} batches skipped")
