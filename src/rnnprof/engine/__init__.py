"""Processes and files: the journal, the supervisor of workers, the sweep."""
