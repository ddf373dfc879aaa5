"""Every sentence that a report says: a file for each judge, and :func:`say` for all of them."""

from __future__ import annotations

# each file registers its sentences with `say` as it is imported
from rnnprof.report.words import advice as _advice
from rnnprof.report.words import breakdown as _breakdown
from rnnprof.report.words import compare as _compare
from rnnprof.report.words import engine as _engine
from rnnprof.report.words import gate as _gate
from rnnprof.report.words import maxbatch as _maxbatch
from rnnprof.report.words import points as _points
from rnnprof.report.words import study as _study
from rnnprof.report.words import trust as _trust
from rnnprof.report.words.dispatch import as_text, say

__all__ = ("as_text", "say")

_REGISTERED = (_advice, _breakdown, _compare, _engine, _gate, _maxbatch, _points, _study, _trust)
