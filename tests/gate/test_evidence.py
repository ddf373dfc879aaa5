"""Evidence that does not carry a verdict: whatever it looks like, no gate passes by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from fakes import MIB, a_fit, a_memory, a_request
from gate_samples import LIMIT, POINT, STEADY, a_run, edge, fit, measured, ooms, timings
from rnnprof.errors import BadInputError
from rnnprof.gate import judge
from rnnprof.gate.budget import Budget, Growth, LeastBatch, LeastThroughput, MostPeak, MustFit
from rnnprof.gate.budget_file import parse_budget
from rnnprof.gate.evidence import Required
from rnnprof.gate.reasons import (
    DoesNotFit,
    Ended,
    FitsAboveOom,
    FitsWithUnknownPeak,
    KeyDiffers,
    NoBaseline,
    NotComparable,
    NotMeasured,
    NotTheBudgetsRun,
    OtherLimit,
    SameRun,
    SizeDiffers,
    TimesOfFew,
    TooFewSteps,
    Unfinished,
    Unusable,
    WentBothWays,
)
from rnnprof.gate.verdicts import Gate, Verdict
from rnnprof.maxbatch.certify import conclude
from rnnprof.maxbatch.folded import FoldedRun
from rnnprof.maxbatch.terms import Terms
from rnnprof.reasons import Reason
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Grid, Outcome, Point, Role
from rnnprof.runfile.records import Run, Settings
from rnnprof.simulate.description import describe

FITS = Budget(fits=(MustFit(POINT),))
BATCH = Budget(max_batch=(LeastBatch(POINT.time_steps, 64),))
PEAK = Budget(peak=(MostPeak(POINT, 64 * MIB, "charged"),))
RATE = Budget(throughput=(LeastThroughput(POINT, 1e-3),))
GROWTH = Budget(growth=Growth())

OTHER = LIMIT // 2


def ends(outcome: Outcome, batch: int = 64, **changes: Any) -> Fit:
    return fit(batch, None, outcome=outcome, reason="it ended so", **changes)


def requiring(budget: Budget, **conditions: Any) -> Budget:
    return replace(budget, required=Required(**conditions))


def with_settings(run: Run, **settings: Any) -> Run:
    grid = Grid((POINT.batch,), (POINT.time_steps,))
    return replace(run, requests=(a_request(grid, Settings(**settings)),))


def on(run: Run, **facts: object) -> Run:
    environment = {**run.header.environment, **facts}
    return replace(run, header=replace(run.header, environment=environment))


def searched_under(limit_bytes: int) -> Run:
    passes = [fit(100, limit_bytes=limit_bytes), ooms(101, limit_bytes=limit_bytes)]
    certificate = conclude(POINT.time_steps, passes, Terms(limit_bytes, 1000), "r1")
    return a_run(*passes, certificates=(certificate,))


def proven_over(time_steps: int) -> Run:
    passes = [fit(100, train_steps_run=time_steps), ooms(101)]
    certificate = conclude(
        POINT.time_steps, passes, Terms(LIMIT, 1000, confirm_steps=time_steps), "r1"
    )
    return a_run(*passes, certificates=(certificate,))


def stopped_after(time_steps: int) -> Run:
    """Nothing is proven: the bracket is open when the search ends."""
    passes = [fit(100, train_steps_run=time_steps), ooms(500)]
    certificate = conclude(POINT.time_steps, passes, Terms(LIMIT, 1000), "r1")
    return a_run(*passes, certificates=(certificate,))


def leaking() -> Run:
    live = tuple(number * MIB for number in range(30))
    passes = [
        fit(
            64,
            train_steps_run=count,
            train_steps=count,
            live_bytes=live[:count],
            step_peak_bytes=live[:1],
        )
        for count in (10, 30)
    ]
    certificate = conclude(POINT.time_steps, passes, Terms(LIMIT, 1000), "r1")
    return a_run(*passes, certificates=(certificate,))


def in_grid(*fits: Fit) -> list[Fit]:
    return [replace(each, role=Role.GRID) for each in fits]


def gate(
    budget: Budget, run: Run, base: Run | None = None, differing: tuple[Reason, ...] = ()
) -> Gate:
    other = None if base is None else FoldedRun.of(base)
    return judge.gate(budget, FoldedRun.of(run), other, differing)


ITSELF = a_run(*measured(*STEADY))


@dataclass(frozen=True)
class Case:
    """A run that must not pass, by which budget, and why not."""

    name: str
    budget: Budget
    run: Callable[[], Run]
    verdict: Verdict
    reason: Reason | type[Reason]
    base: Callable[[], Run] | None = None
    differing: tuple[Reason, ...] = field(default=())


def not_required(reason: Reason) -> Reason:
    return NotTheBudgetsRun((reason,))


OTHER_CELL = KeyDiffers("cell", "gru", "lstm")
CRASHED = Ended(Outcome.CRASHED, "it ended so")

N, F, I = Verdict.NOT_COMPARABLE, Verdict.FAIL, Verdict.INCONCLUSIVE  # noqa: E741

CASES = [
    Case("another limit in the run", requiring(FITS, limit_bytes=OTHER),
         lambda: a_run(fit()), N, not_required(SizeDiffers("memory-limit", LIMIT, OTHER))),
    Case("a limit that differs by a byte", requiring(FITS, limit_bytes=LIMIT - 1),
         lambda: a_run(fit()), N, not_required(SizeDiffers("memory-limit", LIMIT, LIMIT - 1))),
    Case("the pass ran under another limit", FITS,
         lambda: a_run(fit(limit_bytes=2 * LIMIT)), N, OtherLimit(64, 2 * LIMIT, LIMIT)),
    Case("a larger batch ran under another limit", FITS,
         lambda: a_run(fit(128, limit_bytes=2 * LIMIT)), N, OtherLimit(128, 2 * LIMIT, LIMIT)),
    Case("another device", requiring(FITS, device="cuda:1"),
         lambda: on(a_run(fit()), device="cpu"), N,
         not_required(KeyDiffers("device", "cpu", "cuda:1"))),
    Case("no simulated GPU", requiring(FITS, simulated="t4"),
         lambda: a_run(fit()), N, not_required(KeyDiffers("simulate", None, "t4"))),
    Case("another simulated GPU", requiring(FITS, simulated="t4"),
         lambda: on(a_run(fit()), simulated=describe("a100-40gb").as_text()), N,
         not_required(KeyDiffers("simulate", "a100-40gb", "t4"))),
    Case("simulated, and a GPU is asked for", requiring(FITS, device="cuda"),
         lambda: on(a_run(fit()), device="cuda", simulated=describe("t4").as_text()), N,
         not_required(KeyDiffers("device", "simulated", "cuda"))),
    Case("nothing set aside", requiring(FITS, reserve_bytes=8 * MIB),
         lambda: a_run(fit()), N, not_required(SizeDiffers("reserve", 0, 8 * MIB))),
    Case("set aside in the request, not in the pass", FITS,
         lambda: with_settings(a_run(fit()), reserve_bytes=8 * MIB), N,
         OtherLimit(64, LIMIT, LIMIT - 8 * MIB)),
    Case("two training steps", FITS,
         lambda: a_run(fit(train_steps_run=2)), I,
         TooFewSteps(64, 2, 10)),
    Case("no training step", FITS,
         lambda: a_run(fit(train_steps_run=0)), I,
         TooFewSteps(64, 0, 10)),
    Case("fewer steps than the budget has", requiring(FITS, confirm_steps=20),
         lambda: a_run(fit()), I, TooFewSteps(64, 10, 20)),
    Case("a larger batch over two training steps", FITS,
         lambda: a_run(fit(128, train_steps_run=2)), F, NotMeasured(POINT)),
    Case("a crash after a pass", FITS,
         lambda: a_run(fit(), ends(Outcome.CRASHED)), F, CRASHED),
    Case("a timeout after a pass", FITS,
         lambda: a_run(fit(), ends(Outcome.TIMEOUT)), F, Ended(Outcome.TIMEOUT, "it ended so")),
    Case("a failure after a pass", FITS,
         lambda: a_run(fit(), ends(Outcome.FAILED)), F, Ended(Outcome.FAILED, "it ended so")),
    Case("a short pass after a crash", FITS,
         lambda: a_run(ends(Outcome.CRASHED), fit(train_steps_run=2)), F, CRASHED),
    Case("out of memory after a pass", FITS,
         lambda: a_run(fit(), ooms()), F, WentBothWays(64)),
    Case("a pass after out of memory", FITS,
         lambda: a_run(ooms(), fit()), I, WentBothWays(64)),
    Case("it crashes, and a larger one passes", FITS,
         lambda: a_run(ends(Outcome.CRASHED), fit(128)), F, CRASHED),
    Case("the larger one crashed after its pass", FITS,
         lambda: a_run(fit(128), ends(Outcome.CRASHED, 128)), F, NotMeasured(POINT)),
    Case("a smaller batch is out of memory", FITS,
         lambda: a_run(ooms(32), fit()), I, FitsAboveOom(64, 32)),
    Case("an unknown peak and headroom", Budget(fits=(MustFit(POINT, 0.1),)),
         lambda: a_run(fit(peak=None)), I, FitsWithUnknownPeak(64, None, 0.1)),
    Case("a leak", FITS, leaking, F, Unusable),
    Case("another workload", FITS,
         lambda: a_run(fit()), N, not_required(OTHER_CELL), differing=(OTHER_CELL,)),
    Case("unfinished", FITS,
         lambda: a_run(fit(), is_finished=False), I, Unfinished(is_baseline=False)),
    Case("a largest batch under another limit", BATCH,
         lambda: searched_under(2 * LIMIT), N, OtherLimit(101, 2 * LIMIT, LIMIT)),
    Case("a largest batch over two training steps", BATCH,
         lambda: proven_over(2), I, TooFewSteps(100, 2, 10)),
    Case("a search that was stopped after two training steps", BATCH,
         lambda: stopped_after(2), I, TooFewSteps(100, 2, 10)),
    Case("a largest batch that nobody sought", BATCH,
         lambda: a_run(fit(train_steps_run=2)), I, TooFewSteps(64, 2, 10)),
    Case("a largest batch of a leak", BATCH, leaking, F, Unusable),
    Case("a peak under another limit", PEAK,
         lambda: a_run(*in_grid(fit(limit_bytes=OTHER))), N, OtherLimit(64, OTHER, LIMIT)),
    Case("a peak, then a crash", PEAK,
         lambda: a_run(*in_grid(fit(), ends(Outcome.CRASHED))), F, CRASHED),
    Case("a rate, then a timing that crashed", RATE,
         lambda: a_run(*measured(*STEADY), replace(timings(1.0)[0], outcome=Outcome.CRASHED,
         reason="it ended so", attempt="late")), F, CRASHED),
    Case("a rate, then out of memory", RATE,
         lambda: a_run(*measured(*STEADY), *in_grid(ooms())), F,
         DoesNotFit("out of memory in forward")),
    Case("the run as its own baseline", GROWTH,
         lambda: ITSELF, N, SameRun(), base=lambda: ITSELF),
    Case("a longer run over an earlier state of it", GROWTH,
         lambda: replace(ITSELF, observations=(*ITSELF.observations, *timings(1.0))), N,
         SameRun(), base=lambda: ITSELF),
    Case("a baseline of another machine", GROWTH,
         lambda: a_run(*measured(*STEADY)), N, NotComparable,
         base=lambda: on(a_run(*measured(*STEADY)), device_name="another")),
    Case("an unfinished baseline", GROWTH,
         lambda: a_run(*measured(*STEADY)), I, Unfinished(is_baseline=True),
         base=lambda: a_run(*measured(*STEADY), is_finished=False)),
    Case("a baseline without times", GROWTH,
         lambda: a_run(*measured(*STEADY)), I, TimesOfFew,
         base=lambda: a_run(a_fit(POINT), a_memory(POINT, peak_allocated_bytes=MIB << 5))),
    Case("growth without a baseline", GROWTH,
         lambda: a_run(*measured(*STEADY)), I, NoBaseline()),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_gate_passes_by_it(case: Case) -> None:
    found = gate(case.budget, case.run(), case.base() if case.base else None, case.differing)
    reasons = [each.reason for each in found.findings if each.verdict is found.verdict]
    assert found.verdict is case.verdict, found
    if isinstance(case.reason, type):
        assert case.reason in map(type, reasons)
    else:
        assert case.reason in reasons


def test_the_same_evidence_where_it_carries_passes() -> None:
    """So that no case above fails for another reason than its own."""
    assert gate(FITS, a_run(fit())).verdict is Verdict.PASS
    assert gate(FITS, a_run(fit(128))).verdict is Verdict.PASS
    assert gate(FITS, a_run(ends(Outcome.CRASHED), fit())).verdict is Verdict.PASS
    assert gate(BATCH, edge(fit(100), ooms(101))).verdict is Verdict.PASS
    assert gate(BATCH, stopped_after(10)).verdict is Verdict.PASS
    assert gate(PEAK, a_run(*in_grid(fit()))).verdict is Verdict.PASS
    assert gate(RATE, a_run(*measured(*STEADY))).verdict is Verdict.PASS
    base = a_run(*measured(*STEADY))
    assert gate(GROWTH, a_run(*measured(*STEADY)), base).verdict is Verdict.PASS
    conditions = requiring(FITS, limit_bytes=LIMIT, reserve_bytes=0, device="cpu")
    assert gate(conditions, on(a_run(fit()), device="cpu")).verdict is Verdict.PASS
    t4 = on(a_run(fit()), device="cuda", simulated=describe("t4").as_text())
    assert gate(requiring(FITS, simulated="a100-40gb,t4"), t4).verdict is Verdict.PASS


def test_a_size_without_its_unit_is_refused() -> None:
    table = {"fits": [{"batch": 64, "time-steps": 128}], "measure": {"memory-limit": 800}}
    with pytest.raises(BadInputError, match="a size with its unit"):
        parse_budget({"version": 1, **table}, "budget.toml", ["memory-limit"])


def test_a_point_of_another_length_shows_nothing() -> None:
    found = gate(FITS, a_run(fit(time_steps=64), points=[POINT, Point(64, 64)]))
    assert found.verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("has", "verdict"),
    [
        (None, Verdict.NOT_COMPARABLE),
        (8 << 30, Verdict.NOT_COMPARABLE),
        (16 << 30, Verdict.PASS),
    ],
)
def test_the_size_of_a_gpu_is_required_of_a_run(has: int | None, verdict: Verdict) -> None:
    run = with_settings(a_run(fit()), gpu_memory_bytes=has)
    found = gate(requiring(FITS, gpu_memory_bytes=16 << 30), run)
    assert found.verdict is verdict
    reason = not_required(SizeDiffers("gpu-memory", has, 16 << 30))
    assert (reason in [each.reason for each in found.findings]) == (verdict is not Verdict.PASS)
