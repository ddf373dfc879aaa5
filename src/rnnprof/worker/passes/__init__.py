"""What a worker is asked to do, a file a pass."""
