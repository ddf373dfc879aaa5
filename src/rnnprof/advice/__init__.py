"""What to train with, and why."""
