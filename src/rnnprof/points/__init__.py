"""What the observations of a run say about each of its points."""
