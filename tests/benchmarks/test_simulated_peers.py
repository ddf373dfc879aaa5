"""The benchmark of batch-size finders on a simulated GPU: its rows, judged without a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from benchmarks.performance import simulated_loop
from benchmarks.performance import simulated_peers as benchmark
from benchmarks.performance.finders import Ended, Trial
from benchmarks.performance.rows import chosen
from benchmarks.performance.simulated_loop import CASES, LIMITS, Case, Edge, PlainLoop, PlainTrial
from benchmarks.performance.simulated_peers import HEADER, QUICK, Answer, Comparison

from rnnprof.runfile.codec import decode, encode
from rnnprof.simulate.torchbuild import SimulationUnavailableError

CASE = Case("lstm", "native", "2GiB")
FIGURES = Path(__file__).parents[2] / "reports" / "simulated" / "peers.json"
PRINTED = Path(__file__).parents[1] / "golden" / "simulated-peers.txt"
OOM = "OutOfMemoryError: CUDA out of memory."


def comparison(*answers: Answer, strays: tuple[int, ...] = ()) -> Comparison:
    """The truth is 100; 101 to 200 were run too."""
    trials = [PlainTrial(100, 30, "", 0.5), *(PlainTrial(b, 1, OOM, 0.1) for b in range(101, 201))]
    return Comparison(CASE, Edge(100, 20, 8, 4.0, strays), answers, tuple(trials))


def plain_loop(monkeypatch: pytest.MonkeyPatch, passing: set[int]) -> PlainLoop:
    """A loop whose batches are not run in processes."""
    monkeypatch.setattr(simulated_loop, "in_child", lambda run: run())

    def outcome(_: Case, batch: int) -> dict[str, Any]:
        fits = batch in passing
        return {"train_steps_run": 30 if fits else 1, "error": "" if fits else OOM}

    monkeypatch.setattr(simulated_loop, "try_plainly", outcome)
    return PlainLoop(CASE)


def test_there_are_twelve_rows_and_two_quick_ones() -> None:
    assert len({case.name for case in CASES}) == 12
    assert [case.name for case in chosen(CASES, QUICK, None, quick=True)] == list(QUICK)
    only = ["gru-fused", "tive-who"]
    some = chosen(CASES, QUICK, only, quick=False)
    assert [case.name for case in some] == [
        "lstm-native-whole", "gru-native-whole", *(f"gru-fused-{each}" for each in LIMITS)
    ]  # fmt: skip
    with pytest.raises(SystemExit, match="no such row; there are lstm-native-2GiB"):
        chosen(CASES, QUICK, ["lstm-loop"], quick=False)


def test_the_module_tells_how_to_run_it() -> None:
    assert "python -m benchmarks.performance.simulated_peers" in (benchmark.__doc__ or "")


@pytest.mark.parametrize("largest", [1, 25, 784])
def test_the_truth_is_found_and_its_neighbours_are_run(
    largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = plain_loop(monkeypatch, set(range(1, largest + 1)))
    edge = loop.edge()
    assert (edge.batch, edge.strays) == (largest, ())
    assert {*range(max(1, largest - 10), largest + 11)} <= {*loop.trials}
    assert edge.probes < len(loop.trials) <= edge.probes + 20


def test_a_batch_that_passes_above_the_truth_is_a_stray(monkeypatch: pytest.MonkeyPatch) -> None:
    edge = plain_loop(monkeypatch, {*range(1, 95), *range(96, 101), 107}).edge()
    assert (edge.batch, edge.strays) == (100, (95, 107))


def test_an_answer_is_judged_by_the_plain_loop() -> None:
    failed = Trial(90, fits=False, train_steps_run=0)
    found = comparison(
        Answer("above", 128, (failed, Trial(128, True, 10)), wall_s=9.0, search_s=2.0),
        Answer("unseen", 100, (Trial(50, True, 10),), wall_s=9.0, search_s=2.0),
        Answer("none", None, note="raised ValueError: why"),
    )
    truth, above, unseen, none = found.rows()
    assert (truth.who, truth.batch, truth.holds, truth.note) == ("plain loop", 100, True, "")
    assert (above.error_ratio, above.holds) == (pytest.approx(0.28), False)
    assert (above.probes, above.ooms) == (2, 1)
    assert above.note == (
        "plain loop: out of memory at training step 2; failed in its own trials: B=90"
    )
    assert (unseen.holds, unseen.note) == (True, "B=100 was never run")
    assert (none.error_ratio, none.holds, none.probes) == (None, None, None)
    assert [*benchmark.notes([found])][-1] == "lstm-native-2GiB, none: raised ValueError: why"


def test_the_tables_say_what_was_found() -> None:
    found = comparison(Answer("x", 100, (), (), 9.0, 2.0), Answer("y", None), strays=(107,))
    lines = [" ".join(line.split()) for line in benchmark.table([found]).splitlines()]
    assert lines == [
        " ".join(HEADER),
        "lstm native 2GiB plain loop 100 truth yes 20 8 - 4.0",
        "lstm native 2GiB x 100 +0.0% yes 0 0 9.0 2.0",
        "lstm native 2GiB y - - - - - - -",
    ]
    assert [line.split()[:5] for line in benchmark.summary([found]).splitlines()[1:]] == [
        ["x", "1", "of", "1", "+0.0%"], ["y", "0", "of", "1", "-"],
    ]  # fmt: skip
    assert "monotone in 0 of 1 rows" in benchmark.monotone([found])
    assert [*benchmark.notes([found])] == ["lstm-native-2GiB, plain loop: not monotone: B=107"]


def test_the_table_is_at_most_100_columns_wide() -> None:
    longest = Answer("lightning binsearch", 100, (), (), 9999.9, 9999.9)
    case = Case("lstm", "native", "whole")
    found = Comparison(case, Edge(100, 20, 8, 4.0, ()), (longest,), comparison().trials)
    assert max(map(len, benchmark.table([found]).splitlines())) <= benchmark.WIDTH


def test_the_kept_text_is_made_of_the_kept_figures(capsys: pytest.CaptureFixture[str]) -> None:
    benchmark.main(["--reuse", str(FIGURES)])
    printed = capsys.readouterr().out
    assert printed == PRINTED.read_text(encoding="utf-8")
    assert max(map(len, printed.splitlines())) <= benchmark.WIDTH


def test_rnnprof_is_run_as_a_user_runs_it(tmp_path: Path) -> None:
    limited = benchmark.rnnprof_command(CASE, tmp_path / "run.jsonl")
    assert limited[1:7] == ["-m", "rnnprof", "max-batch", "--json", "--simulate", "t4"]
    assert limited[7:9] == ["--memory-limit", "2GiB"]
    whole = benchmark.rnnprof_command(Case("gru", "fused", "whole"), tmp_path / "run.jsonl")
    assert "--memory-limit" not in whole


def test_the_certificate_and_the_advice_are_two_answers() -> None:
    certificate = {"status": "unproven", "reason": "why"}
    told = {"frontier": [certificate], "advice": {"largest_safe": [{"batch": 90}]}}
    answer = benchmark.rnnprof_answer(told, [], 5.0)
    assert (answer.batch, answer.note) == (None, "unproven: why")
    assert benchmark.rnnprof_advice(told) == [Answer("rnnprof, advised", 90)]


def test_a_case_goes_to_the_peers_process_and_a_dead_one_is_told() -> None:
    assert decode(Case, encode(CASE), "case") == CASE
    dead = benchmark.unanswered("accelerate", Ended(-9, "", "killed", 3.0, None))
    assert dead.note == "no answer, exit code -9: killed"
    assert dead.batch is None


def test_a_missing_peer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark.importlib.util, "find_spec", lambda _: None)
    answer = benchmark.ask_peer("lightning power", CASE)
    assert answer.note == "not importable: no module named 'lightning'"


def test_where_nothing_can_be_simulated_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable() -> None:
        raise SimulationUnavailableError("install a CUDA build of torch")

    monkeypatch.setattr(benchmark, "build", unavailable)
    with pytest.raises(SystemExit, match="install a CUDA build of torch"):
        benchmark.main(["--quick"])
