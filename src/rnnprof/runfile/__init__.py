"""The run file: its records, its journal, what is plausible in it, and how two files differ."""
