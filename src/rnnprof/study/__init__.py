"""Trainability: how far gradients reach, and what a batch is worth."""
