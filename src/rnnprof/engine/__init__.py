"""The engine: supervises workers, records what they saw, and sweeps the grid."""
