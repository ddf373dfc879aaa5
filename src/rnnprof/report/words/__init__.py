"""Every sentence that a report says: a file for each judge, and :func:`say` for all of them."""

from __future__ import annotations

from rnnprof.report.words import compare, gate  # noqa: F401  their sentences are registered
from rnnprof.report.words.dispatch import say, told

__all__ = ("say", "told")
