"""The script for a real GPU, and its parts."""
