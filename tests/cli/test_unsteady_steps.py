"""``max-batch`` of training steps that follow no law: soon an answer, or a status with a reason."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import pytest

from conftest import CommandLine
from rnnprof.runfile.certificates import EdgeStatus

FACTORIES = Path(__file__).parents[1] / "unsteady.py"
ENOUGH_CPU_S = 150.0
"""Seen: 35 s alone, 91 s under coverage beside other work, since taking and giving back memory
costs more there.  A search batch by batch took ten minutes; a hang meets its timeout."""

MOST_PROBES = 24

pytestmark = pytest.mark.slow


def children_s() -> float:
    """CPU time of all processes that this one started and that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def asked(rnnprof: CommandLine, function: str, limit: str, *more: str) -> tuple[int, Any, str]:
    """Exit code, document and what was said, within the time for it."""
    before_s = children_s()
    result = rnnprof(
        "max-batch", "--factory", f"{FACTORIES}:{function}", "--time-steps", "16", "--memory-limit",
        limit, "--json", "-q", "-o", "run.jsonl", *more, OMP_NUM_THREADS="1",
    )  # fmt: skip
    assert children_s() - before_s < ENOUGH_CPU_S
    assert "Traceback" not in result.stderr
    document = json.loads(result.stdout) if result.stdout else None
    return result.returncode, document, result.stderr


def the_edge(code: int, document: Any) -> dict[str, Any]:
    """The only certificate: few probes, and a sentence where it is no answer."""
    [edge] = document["frontier"]
    assert edge["probes"] <= MOST_PROBES
    answers = {EdgeStatus.CERTIFIED, EdgeStatus.CAPPED}
    if edge["status"] in answers:
        assert code == 0
        assert edge["batch"] == edge["fits"]["batch"]
    else:
        assert code == (0 if edge["status"] == EdgeStatus.UNSUPPORTED else 5)
        assert edge["reason"]
        assert "\n" not in edge["reason"]
    return edge


@pytest.mark.parametrize(
    ("function", "limit", "statuses"),
    [
        ("random_memory", "64MiB", {"certified", "non_monotone", "indeterminate"}),
        # at B=1 it takes 256 MiB, at B=65536 less than is spent on data
        ("falling_memory", "64MiB", {"nothing_fits", "non_monotone", "indeterminate"}),
        ("falling_memory", "256MiB", {"non_monotone", "indeterminate", "certified"}),
        ("spikes", "64MiB", {"certified"}),
        ("loss_is_nan", "64MiB", {"certified"}),
        ("raises_in_make", "64MiB", {"certified", "indeterminate"}),
    ],
)
def test_an_answer_or_a_status_with_one_sentence(
    rnnprof: CommandLine, function: str, limit: str, statuses: set[str]
) -> None:
    code, document, said = asked(rnnprof, function, limit)
    assert document is not None, said
    assert the_edge(code, document)["status"] in statuses


def test_a_spike_within_the_proof_is_in_the_answer(rnnprof: CommandLine) -> None:
    """64 KiB a sequence at step 7: of 64 MiB less than 1024 sequences are left."""
    edge = the_edge(*asked(rnnprof, "spikes", "64MiB")[:2])
    assert 400 < edge["batch"] < 1024


def test_a_batch_that_cannot_be_built_at_first_is_named(rnnprof: CommandLine) -> None:
    """Even batches raise, the one among them that is tried before the search."""
    code, document, said = asked(rnnprof, "raises_in_make", "64MiB", "--factory-arg", "multiple=2")
    assert "batch must not be a multiple of 2" in (
        said if document is None else the_edge(code, document)["reason"]
    )
    assert code in {2, 5}


def test_a_length_below_what_a_model_takes_is_named(rnnprof: CommandLine) -> None:
    code, document, said = asked(rnnprof, "needs_long_sequences", "64MiB")
    words = said if document is None else the_edge(code, document)["reason"]
    assert "RuntimeError: Calculated padded input size per channel" in words
    assert "T=16" in words or document is not None
    assert code in {2, 5}


def test_a_length_above_it_is_answered_beside_the_other(rnnprof: CommandLine) -> None:
    """One T that cannot run does not cost the answer at another."""
    before_s = children_s()
    result = rnnprof(
        "max-batch", "--factory", f"{FACTORIES}:needs_long_sequences", "--time-steps", "16,64",
        "--memory-limit", "64MiB", "--json", "-q", "-o", "run.jsonl", OMP_NUM_THREADS="1",
    )  # fmt: skip
    assert children_s() - before_s < 2 * ENOUGH_CPU_S
    assert "Traceback" not in result.stderr
    assert result.stdout, result.stderr
    short, long = json.loads(result.stdout)["frontier"]
    assert (short["status"], long["status"]) == ("indeterminate", "certified")
    assert short["probes"] + long["probes"] <= 2 * MOST_PROBES
