"""The run file: its records, its journal, its validation, and how two files differ."""
