"""The document of a study of trainability."""

from __future__ import annotations

from typing import Any

from rnnprof.report.export.document import finite
from rnnprof.report.model import RunReport
from rnnprof.runfile.codec import encode


def trainability_document(report: RunReport) -> dict[str, Any]:
    """The study as one JSON object; what is infinite is null beside its reason."""
    fields: dict[str, Any] = finite(encode(report.trainability))
    return {"run": report.run.path, **fields}
