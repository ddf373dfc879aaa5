"""The page, and the charts in it."""
