"""The training step that a worker runs: built-in cells, factories, and observations of it."""
