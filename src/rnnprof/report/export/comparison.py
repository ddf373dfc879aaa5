"""The document of ``compare --json``."""

from __future__ import annotations

from typing import Any

from rnnprof.compare.comparison import RunComparison
from rnnprof.report.words import say
from rnnprof.report.words.dispatch import as_text
from rnnprof.runfile.codec import encode


def comparison_document(comparison: RunComparison, base: str, new: str) -> dict[str, Any]:
    """The comparison as one JSON object; sizes in bytes, times in seconds.

    Args:
        comparison: of the two runs.
        base, new: paths of the baseline and the run.
    """
    fields: dict[str, Any] = encode(comparison)
    for point, each in zip(fields["points"], comparison.points, strict=True):
        point["time"]["reason"] = None if each.time.reason is None else say(each.time.reason)
    for edge, one in zip(fields["frontier"], comparison.frontier, strict=True):
        for side, proof in (("base", one.base), ("new", one.new)):
            if proof is not None:
                edge[side]["reason"] = as_text(proof.reason) or None
    return {"base": base, "new": new, **fields}
