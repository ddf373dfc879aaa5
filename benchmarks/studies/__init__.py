"""Rules of thumb, put to the test."""
