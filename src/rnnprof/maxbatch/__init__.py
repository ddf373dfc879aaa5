"""The largest batch at each T: its search and proof, in workers or in the user's process."""
