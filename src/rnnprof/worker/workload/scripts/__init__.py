"""The user's training script, run unchanged: where its training steps end is seen from outside."""
