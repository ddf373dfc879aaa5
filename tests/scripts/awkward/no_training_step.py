"""Waits for data that never comes: no training step."""

import time

import torch

model = torch.nn.LSTM(4, 8)
optimizer = torch.optim.Adam(model.parameters())
while True:
    print("waiting for the data server")
    time.sleep(1.0)
