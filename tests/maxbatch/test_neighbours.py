"""The neighbours of a largest batch: which are run, and what they say."""

from __future__ import annotations

import pytest

from fakes import HEADER, a_fit
from rnnprof.maxbatch.neighbours import COUNT, neighbours_of, neighbours_to_run
from rnnprof.runfile.certificates import Certificate, EdgeStatus
from rnnprof.runfile.points import Outcome, Point, Role
from rnnprof.runfile.records import Run


def certificate(batch: int | None, granularity: int = 1, **changes: object) -> Certificate:
    known = {"time_steps": 16, "status": EdgeStatus.CERTIFIED, "at_most": 65536}
    return Certificate(batch=batch, granularity=granularity, **(known | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("batch", "granularity"), [(6390, 1), (787, 1), (4096, 8), (40, 1), (3, 1)]
)
def test_neighbours_lie_within_a_tenth_on_both_sides_and_on_multiples(
    batch: int, granularity: int
) -> None:
    found = neighbours_to_run(certificate(batch, granularity))
    assert len(set(found)) == len(found) <= COUNT
    assert not {batch, batch + granularity} & set(found)
    assert all(each > 0 and each % granularity == batch % granularity for each in found)
    reach = max(granularity, 0.1 * batch)
    assert batch - reach <= min(found) < batch < max(found) <= batch + granularity + reach
    if batch > 500 * granularity:
        assert len(found) == COUNT


def test_only_a_proven_largest_batch_has_neighbours() -> None:
    assert neighbours_to_run(certificate(None, status=EdgeStatus.NOTHING_FITS)) == []
    assert neighbours_to_run(certificate(64, status=EdgeStatus.CAPPED)) == []


def seen(*ends: tuple[int, Outcome]) -> Run:
    fits = tuple(
        a_fit(Point(batch, 16), role=Role.NEIGHBOUR, outcome=outcome) for batch, outcome in ends
    )
    return Run(HEADER, observations=fits)


def test_what_is_not_monotone_is_told_by_batch() -> None:
    fits, oom = Outcome.MEASURED, Outcome.OOM
    [plain] = neighbours_of(seen((90, fits), (110, oom)), [certificate(100)])
    assert plain.is_monotone
    [odd] = neighbours_of(seen((90, oom), (95, fits), (110, fits), (111, oom)), [certificate(100)])
    assert not odd.is_monotone
    assert (odd.ooms_below, odd.fits_above) == ((90,), (110,))


def test_without_neighbours_nothing_is_said() -> None:
    assert (
        neighbours_of(Run(HEADER, observations=(a_fit(Point(90, 16)),)), [certificate(100)]) == ()
    )
