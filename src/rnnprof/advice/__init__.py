"""The recommended batch, and why."""
