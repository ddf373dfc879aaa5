"""The commands: they turn arguments into answers and exit codes."""
