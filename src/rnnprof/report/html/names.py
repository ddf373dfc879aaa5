"""The names of a report's files."""

from __future__ import annotations

from typing import Final

PAGE: Final = "report.html"
SUMMARY: Final = "summary.md"
BOOK: Final = "charts.pdf"
