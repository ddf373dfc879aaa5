"""What RESULTS.md shows: how exact, how quick, and how well beside others."""
