"""The benchmarks' one entry point, their catalogue, results and tables."""

from __future__ import annotations

import importlib
import os
import signal
from pathlib import Path

import pytest
from benchmarks.__main__ import run
from benchmarks.performance import known_tables, precision, results, scale, spared, sweep_cost
from benchmarks.performance.catalogue import CATALOGUE, Benchmark
from benchmarks.performance.children import in_child

from rnnprof.runfile.journal import load
from rnnprof.runfile.points import Point

GOLDEN = Path(__file__).parents[1] / "golden" / "run-2.jsonl"


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_benchmark_is_a_module_that_tells_how_to_run_it(name: str) -> None:
    module = importlib.import_module(f"benchmarks.performance.{name}")
    assert f"python -m benchmarks.performance.{name}" in (module.__doc__ or "")
    assert callable(module.main)
    assert CATALOGUE[name].question.endswith("?")


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    return tmp_path


def test_a_run_is_kept_with_its_figures_and_told_on_the_page(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(CATALOGUE["scale"], ("--records", "6", "--repetitions", "1", "--only", "load"))
    assert found.printed == tuple(capsys.readouterr().out.splitlines())
    assert found.figures["rows"][0]["asked"] == 6
    (kept / "report_cost.json").write_text("{}")  # of a benchmark that this one took over
    results.save(found)
    assert [path.name for path in kept.iterdir()] == ["scale.json"]
    assert results.load_results() == {"scale": found}
    page = results.page(results.load_results().values())
    assert "## scale\n" in page
    assert found.printed[0] in page
    assert f"commit {found.commit}, took " in page
    assert "[Figures](results/scale.json)" in page


def test_what_fails_is_not_kept() -> None:
    with pytest.raises(SystemExit, match="scale failed with exit code 2"):
        run(Benchmark("scale", "?", 0), ("--no-such-option",))


def test_what_stands_in_the_results_stands_on_the_page() -> None:
    known = results.load_results()
    assert known
    assert results.page(known.values()) == results.PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["deepbench", "flashrnn"])
def test_published_times_are_of_sizes_of_their_table(name: str) -> None:
    table = known_tables.read(name)
    assert {*table.published_s} <= {*table.sizes}
    assert all(len(times) == len(table.figures) for times in table.published_s.values())
    assert all(0 < time_s < 10 for times in table.published_s.values() for time_s in times)
    assert len(table.sizes) == {"deepbench": 53, "flashrnn": 11}[name]


def test_a_row_has_ours_and_theirs() -> None:
    table = known_tables.read("deepbench")
    size = known_tables.Size("lstm", 512, 32, 25)
    assert size.gflop == pytest.approx((6 * 1024 - 2 * 512) * 4 * 512 * 32 * 25 / 1e9)
    wide = known_tables.Size("lstm", 1024, 32, 25)  # no cell's default
    assert wide.gflop == pytest.approx(4 * size.gflop)
    point = {
        "step_time_s": 0.1,
        "flop_per_s": 1.007e11,
        "outcome": "measured",
        "allocated_bytes": 1 << 20,
    }
    row = known_tables.line(table, size, point)
    assert " ".join(row.split()) == (
        "lstm H=512 B=32 T=25 100 ms 100.7 1.00 MiB 2.43 ms 1.83 ms 10.7 ms"
    )
    failed = {
        "step_time_s": None,
        "flop_per_s": None,
        "outcome": "oom",
        "allocated_bytes": None,
    }
    row = known_tables.line(table, known_tables.Size("lstm", 512, 16, 25), failed)
    assert row.split()[4:] == ["oom", "-", "-", "-", "-", "-"]


def test_a_method_is_judged_by_the_median_of_all() -> None:
    def process(method: str, median_s: float, interval: tuple[float, float]) -> dict[str, object]:
        return {
            "method": method, "median_s": median_s, "interval_s": interval, "half_width": 0.01,
            "samples_s": [median_s] * 20, "wall_s": 0.5,
        }  # fmt: skip

    found = [
        process("rnnprof", 0.010, (0.0099, 0.0102)), process("torch", 0.0101, (0.0100, 0.0103)),
        process("torch", 0.012, (0.0119, 0.0121)), process("rnnprof", 0.010, (0.0099, 0.0101)),
    ]  # fmt: skip
    ours, theirs = (precision.line("x", name, found) for name in ("rnnprof", "torch"))
    assert "2 of 2" in ours  # of 10.05 ms
    assert "1 of 2" in theirs
    assert "18.8%" in theirs or "19%" in theirs


def test_growth_is_told_over_a_commands_own_start() -> None:
    rows = [
        {"action": action, "asked": size, "records": size, "wall_s": wall_s, "peak_bytes": 1 << 20}
        for action, size, wall_s in [
            ("load", 6, 0.5), ("load", 10_000, 1.2), ("resume", 6, 0.5), ("resume", 60_000, 1.6),
        ]
    ]  # fmt: skip
    *_, load_line, resume_line = scale.lines_of(rows)
    assert load_line.endswith("adds 0.70 s to its start: aim of 1 s met")
    assert resume_line.endswith("adds 1.10 s to its start: aim of 1 s missed")


def test_the_parts_of_a_sweep_are_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parts = sweep_cost.shares(load(GOLDEN))
    whole_s = parts.pop("whole")
    assert sum(parts.values()) == pytest.approx(whole_s)


def test_step_times_that_lie_on_a_plane_are_told_by_their_neighbours() -> None:
    times = {Point(b, t): 1e-3 + 2e-5 * b + 3e-5 * t for b in (8, 16, 32) for t in (10, 30, 80)}
    errors = spared.time_errors(times)
    assert len(errors) == 5  # a corner has no two neighbours along B or T
    assert errors == pytest.approx([0.0] * 5)


def test_a_child_brings_back_what_it_found_or_its_traceback() -> None:
    assert in_child(lambda: {"answer": 42}) == {"answer": 42}

    def fails() -> dict[str, object]:
        raise ValueError("the child's own words")

    with pytest.raises(SystemExit, match=r"(?s)ended with 1:.*in fails.*the child's own words"):
        in_child(fails)
    with pytest.raises(SystemExit, match=r"(?s)ended with 1:.*not JSON serializable"):
        in_child(lambda: {"answer": object()})


def test_a_child_that_is_killed_is_told_by_its_signal() -> None:
    def dies() -> dict[str, object]:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}

    with pytest.raises(SystemExit, match=r"(?s)ended with -9:.it said nothing"):
        in_child(dies)
