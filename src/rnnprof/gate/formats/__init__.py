"""A verdict as text, Markdown, JSON, JUnit, Bencher and GitHub annotations, a file a format."""
