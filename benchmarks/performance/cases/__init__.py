"""Small training steps that are not steady or do not use their batch; see ``unsteady_steps``."""
