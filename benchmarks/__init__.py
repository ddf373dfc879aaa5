"""Scripts that measure rnnprof itself; each prints its table and writes its figures as JSON."""
