"""Rules of thumb, tested by measurement."""
