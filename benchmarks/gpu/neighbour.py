"""Another process on the device: on a line of input it takes memory and multiplies matrices.

python -m benchmarks.gpu.neighbour DEVICE BYTES
"""

from __future__ import annotations

import sys

import torch

SIZE = {"cpu": 512, "cuda": 8192}
QUEUED = 16
"""Products that are submitted before the device is waited for."""


def main() -> None:
    device, size_bytes = sys.argv[1], int(sys.argv[2])
    first = torch.zeros(1, device=device)  # makes the context: what is taken later is memory alone
    print("ready", flush=True)
    sys.stdin.readline()
    taken = torch.ones(size_bytes, dtype=torch.uint8, device=device)
    left = torch.rand(SIZE[device], SIZE[device], device=device)
    print("begun", flush=True)
    while taken is not None:
        for _ in range(QUEUED):
            first = left @ left
        first.sum().item()


if __name__ == "__main__":
    main()
