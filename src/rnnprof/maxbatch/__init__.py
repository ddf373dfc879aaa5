"""The largest batch at each T: its search, its proof, and the same search in this process."""
