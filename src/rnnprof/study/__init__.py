"""Trainability: how far gradients reach, and how much a batch helps statistically."""
