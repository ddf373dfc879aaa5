"""The document of a study of trainability."""

from __future__ import annotations

from typing import Any

from rnnprof.report.export.document import finite
from rnnprof.runfile.codec import encode
from rnnprof.runfile.records import Run
from rnnprof.study.trainability import Trainability


def trainability_document(found: Trainability, run: Run) -> dict[str, Any]:
    """The same as one JSON object; what is infinite is null beside its reason."""
    fields: dict[str, Any] = finite(encode(found))
    return {"run": run.path, **fields}
