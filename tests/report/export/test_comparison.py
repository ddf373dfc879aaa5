"""The document of a comparison."""

from __future__ import annotations

import json
from dataclasses import replace

from fakes import HEADER, a_fit, a_request
from rnnprof.compare.comparison import compare
from rnnprof.maxbatch.certify import Proof
from rnnprof.maxbatch.folded import FoldedRun
from rnnprof.maxbatch.reasons import Stopped
from rnnprof.report.export.comparison import comparison_document
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.points import Grid, Point
from rnnprof.runfile.records import Run

RUN = Run(HEADER, (a_request(Grid((8,), (16,))),), observations=(a_fit(Point(8, 16)),))
OPEN = Proof(16, EdgeStatus.INDETERMINATE, 1, 99, reason=Stopped())


def test_reasons_are_sentences_and_differences_keep_their_fields() -> None:
    base = replace(FoldedRun.of(RUN), frontier=(OPEN,))
    header = replace(HEADER, environment=HEADER.environment | {"driver": "575"})
    new = FoldedRun.of(replace(RUN, header=header))
    document = json.loads(json.dumps(comparison_document(compare(base, new), "a", "b")))
    assert (document["base"], document["new"]) == ("a", "b")
    [edge] = document["frontier"]
    assert edge["base"]["reason"] == "the search was stopped before its end"
    assert edge["new"] is None
    [point] = document["points"]
    assert point["time"]["reason"].startswith("the baseline has 0 of at least 3 quiet processes")
    [difference] = document["differences"]
    assert (difference["name"], difference["base"], difference["new"]) == ("driver", None, "575")
