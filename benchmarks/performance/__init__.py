"""The benchmarks of RESULTS.md: accuracy, speed, and comparison with other tools."""
