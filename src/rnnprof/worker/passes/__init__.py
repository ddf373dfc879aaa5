"""The passes of a worker, one file each."""
