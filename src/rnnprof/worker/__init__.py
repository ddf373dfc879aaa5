"""All that runs inside a worker process; the only room that imports torch."""
