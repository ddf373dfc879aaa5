"""The training step that a worker runs: built-in cells, factories, and what is seen of it."""
