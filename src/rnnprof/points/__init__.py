"""What the observations of a run say of each of its points."""
