"""The document of a study of trainability."""

from __future__ import annotations

from typing import Any

from rnnprof.report.export.document import finite, worded
from rnnprof.report.model import RunReport


def trainability_document(report: RunReport) -> dict[str, Any]:
    """The study as one JSON object; what is infinite is null beside its reason."""
    fields: dict[str, Any] = finite(worded(report.trainability))
    return {"run": report.run.path, **fields}
