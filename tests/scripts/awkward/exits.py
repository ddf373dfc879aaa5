"""Finds its work done already, and exits with 0."""

import sys

import torch

model = torch.nn.LSTM(4, 8)
print("checkpoint is complete, nothing to do")
sys.exit(0)
