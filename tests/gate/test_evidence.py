"""Evidence that does not carry a verdict: whatever it looks like, no gate passes by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from fakes import MIB, a_fit, a_memory, a_request
from gate_samples import LIMIT, POINT, STEADY, a_run, edge, fit, measured, ooms, timings
from rnnprof.errors import BadInputError
from rnnprof.gate.budget import Budget, Growth, LeastBatch, LeastThroughput, MostPeak, MustFit
from rnnprof.gate.budget_file import parse_budget
from rnnprof.gate.evidence import Required
from rnnprof.gate.judge import gate
from rnnprof.gate.verdicts import Verdict
from rnnprof.maxbatch.certify import Terms, conclude
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


ITSELF = a_run(*measured(*STEADY))


@dataclass(frozen=True)
class Case:
    """A run that must not pass, by which budget, and what is said of it."""

    name: str
    budget: Budget
    run: Callable[[], Run]
    verdict: Verdict
    said: str
    base: Callable[[], Run] | None = None
    differing: tuple[str, ...] = field(default=())


N, F, I = Verdict.NOT_COMPARABLE, Verdict.FAIL, Verdict.INCONCLUSIVE  # noqa: E741

CASES = [
    Case("another limit in the run", requiring(FITS, limit_bytes=OTHER),
         lambda: a_run(fit()), N, "the limit is 64.0 MiB, the budget has 32.0 MiB"),
    Case("a limit that differs by a byte", requiring(FITS, limit_bytes=LIMIT - 1),
         lambda: a_run(fit()), N, f"({LIMIT} and {LIMIT - 1} bytes)"),
    Case("the pass ran under another limit", FITS,
         lambda: a_run(fit(limit_bytes=2 * LIMIT)), N, "B=64 ran under a limit of 128 MiB"),
    Case("a larger batch ran under another limit", FITS,
         lambda: a_run(fit(128, limit_bytes=2 * LIMIT)), N, "B=128 ran under a limit of 128 MiB"),
    Case("another device", requiring(FITS, device="cuda:1"),
         lambda: on(a_run(fit()), device="cpu"), N, "the device is cpu, the budget has cuda:1"),
    Case("no simulated GPU", requiring(FITS, simulated="t4"),
         lambda: a_run(fit()), N, "no GPU is simulated, the budget simulates t4"),
    Case("another simulated GPU", requiring(FITS, simulated="t4"),
         lambda: on(a_run(fit()), simulated=describe("a100-40gb").as_text()), N,
         "the simulated GPU is a100-40gb, the budget has t4"),
    Case("simulated, and a GPU is asked for", requiring(FITS, device="cuda"),
         lambda: on(a_run(fit()), device="cuda", simulated=describe("t4").as_text()), N,
         "the GPU is simulated"),
    Case("nothing set aside", requiring(FITS, reserve_bytes=8 * MIB),
         lambda: a_run(fit()), N, "the reserve is 0 B, the budget has 8.00 MiB"),
    Case("set aside in the request, not in the pass", FITS,
         lambda: with_settings(a_run(fit()), reserve_bytes=8 * MIB), N,
         "B=64 ran under a limit of 64.0 MiB, and 56.0 MiB are asked for"),
    Case("two training steps", FITS,
         lambda: a_run(fit(train_steps_run=2)), I,
         "B=64 fits over 2 training steps, 10 are asked for"),
    Case("no training step", FITS,
         lambda: a_run(fit(train_steps_run=0)), I,
         "B=64 fits over 0 training steps, 10 are asked for"),
    Case("fewer steps than the budget has", requiring(FITS, confirm_steps=20),
         lambda: a_run(fit()), I, "B=64 fits over 10 training steps, 20 are asked for"),
    Case("a larger batch over two training steps", FITS,
         lambda: a_run(fit(128, train_steps_run=2)), F, "missing: the run has no measurement"),
    Case("a crash after a pass", FITS,
         lambda: a_run(fit(), ends(Outcome.CRASHED)), F, "missing: crashed: it ended so"),
    Case("a timeout after a pass", FITS,
         lambda: a_run(fit(), ends(Outcome.TIMEOUT)), F, "missing: timeout: it ended so"),
    Case("a failure after a pass", FITS,
         lambda: a_run(fit(), ends(Outcome.FAILED)), F, "missing: failed: it ended so"),
    Case("a short pass after a crash", FITS,
         lambda: a_run(ends(Outcome.CRASHED), fit(train_steps_run=2)), F, "missing: crashed"),
    Case("out of memory after a pass", FITS,
         lambda: a_run(fit(), ooms()), F, "B=64 has fitted as well as run out of memory"),
    Case("a pass after out of memory", FITS,
         lambda: a_run(ooms(), fit()), I, "B=64 has fitted as well as run out of memory"),
    Case("it crashes, and a larger one passes", FITS,
         lambda: a_run(ends(Outcome.CRASHED), fit(128)), F, "missing: crashed"),
    Case("the larger one crashed after its pass", FITS,
         lambda: a_run(fit(128), ends(Outcome.CRASHED, 128)), F, "missing"),
    Case("a smaller batch is out of memory", FITS,
         lambda: a_run(ooms(32), fit()), I, "memory does not rise with B"),
    Case("an unknown peak and headroom", Budget(fits=(MustFit(POINT, 0.1),)),
         lambda: a_run(fit(peak=None)), I, "its peak is not known"),
    Case("a leak", FITS, leaking, F, "each training step leaves 1.00 MiB"),
    Case("another workload", FITS,
         lambda: a_run(fit()), N, "cell is gru", differing=("cell is gru",)),
    Case("unfinished", FITS,
         lambda: a_run(fit(), is_finished=False), I, "the run was stopped before its end"),
    Case("a largest batch under another limit", BATCH,
         lambda: searched_under(2 * LIMIT), N, "ran under a limit of 128 MiB"),
    Case("a largest batch over two training steps", BATCH,
         lambda: proven_over(2), I, "B=100 has fitted over 2 training steps, 10 are asked for"),
    Case("a search that was stopped after two training steps", BATCH,
         lambda: stopped_after(2), I, "B=100 has fitted over 2 training steps, 10 are asked for"),
    Case("a largest batch that nobody sought", BATCH,
         lambda: a_run(fit(train_steps_run=2)), I, "fits over 2 training steps"),
    Case("a largest batch of a leak", BATCH, leaking, F, "not stationary"),
    Case("a peak under another limit", PEAK,
         lambda: a_run(*in_grid(fit(limit_bytes=OTHER))), N, "B=64 ran under a limit of 32.0 MiB"),
    Case("a peak, then a crash", PEAK,
         lambda: a_run(*in_grid(fit(), ends(Outcome.CRASHED))), F, "missing: crashed"),
    Case("a rate, then a timing that crashed", RATE,
         lambda: a_run(*measured(*STEADY), replace(timings(1.0)[0], outcome=Outcome.CRASHED,
         reason="it ended so", attempt="late")), F, "missing: crashed: it ended so"),
    Case("a rate, then out of memory", RATE,
         lambda: a_run(*measured(*STEADY), *in_grid(ooms())), F, "it does not fit"),
    Case("the run as its own baseline", GROWTH,
         lambda: ITSELF, N, "the baseline is the run itself", base=lambda: ITSELF),
    Case("a longer run over an earlier state of it", GROWTH,
         lambda: replace(ITSELF, observations=(*ITSELF.observations, *timings(1.0))), N,
         "the baseline is the run itself", base=lambda: ITSELF),
    Case("a baseline of another machine", GROWTH,
         lambda: a_run(*measured(*STEADY)), N, "not comparable",
         base=lambda: on(a_run(*measured(*STEADY)), device_name="another")),
    Case("an unfinished baseline", GROWTH,
         lambda: a_run(*measured(*STEADY)), I, "the baseline was stopped before its end",
         base=lambda: a_run(*measured(*STEADY), is_finished=False)),
    Case("a baseline without times", GROWTH,
         lambda: a_run(*measured(*STEADY)), I, "no change is told from noise",
         base=lambda: a_run(a_fit(POINT), a_memory(POINT, peak_allocated_bytes=MIB << 5))),
    Case("growth without a baseline", GROWTH,
         lambda: a_run(*measured(*STEADY)), I, "there is no baseline"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_gate_passes_by_it(case: Case) -> None:
    found = gate(case.budget, case.run(), case.base() if case.base else None, case.differing)
    worst = [each for each in found.findings if each.verdict is found.verdict]
    assert found.verdict is case.verdict, found
    assert any(case.said in each.reason for each in worst), worst
    assert "\n" not in worst[0].reason


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
    ("has", "said"),
    [
        (None, "the limit stands for no GPU of another size, the budget has 16.0 GiB"),
        (8 << 30, "the limit stands for a GPU of 8.00 GiB, the budget has 16.0 GiB"),
        (16 << 30, None),
    ],
)
def test_the_size_of_a_gpu_is_held_against_a_run(has: int | None, said: str | None) -> None:
    run = with_settings(a_run(fit()), gpu_memory_bytes=has)
    found = gate(requiring(FITS, gpu_memory_bytes=16 << 30), run)
    assert found.verdict is (Verdict.NOT_COMPARABLE if said else Verdict.PASS)
    assert said is None or any(said in each.reason for each in found.findings)
