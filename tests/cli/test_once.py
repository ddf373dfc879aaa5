"""Each command folds, certifies and advises a run once, whatever it shows of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rnnprof.cli.main import run
from rnnprof.runfile.journal import load
from rnnprof.runfile.records import Run

GOLDEN = Path(__file__).parents[1] / "golden" / "run-2.jsonl"

STEPS = {
    "fold": "rnnprof.maxbatch.folded.fold_run",
    "certify": "rnnprof.maxbatch.folded.frontier_of",
    "advise": "rnnprof.report.model.advise",
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each step was taken; the function behind it is the real one."""
    counted: Counter[str] = Counter()
    for step, place in STEPS.items():
        module, _, name = place.rpartition(".")
        real = getattr(__import__(module, fromlist=[name]), name)
        monkeypatch.setattr(place, _counting(real, counted, step))
    return counted


def _counting(real: Callable[..., Any], counted: Counter[str], step: str) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        counted[step] += 1
        return real(*args, **kwargs)

    return wrapped


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The golden run, where files may be written beside it."""
    copy = tmp_path / "one.jsonl"
    copy.write_bytes(GOLDEN.read_bytes())
    return copy


def invoke(*words: object) -> None:
    code = run(list(map(str, words)))
    assert code in (0, 1, 3, 5), words


@pytest.mark.parametrize(
    "words",
    [
        ("advise",),
        ("advise", "--json"),
        ("export", "--format", "csv"),
        ("export", "--format", "json"),
        ("report",),
    ],
    ids=" ".join,
)
def test_of_one_run(words: tuple[str, ...], path: Path, calls: Counter[str]) -> None:
    command, *options = words
    invoke(command, path, *options)
    assert calls == {"fold": 1, "certify": 1, "advise": 1}


def test_of_several_runs_in_one_report(path: Path, calls: Counter[str]) -> None:
    other = path.with_name("two.jsonl")
    other.write_bytes(path.read_bytes())
    invoke("report", path, other, "-o", path.parent / "both")
    assert calls == {"fold": 2, "certify": 2, "advise": 2}


@pytest.mark.parametrize(
    "words",
    [
        ("profile",),
        ("profile", "--json"),
        ("max-batch",),
        ("max-batch", "--json"),
        ("trainability", "--task", "adding"),
    ],
    ids=" ".join,
)
def test_of_a_command_that_measures(
    words: tuple[str, ...], path: Path, calls: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: Run = load(path)
    monkeypatch.setattr("rnnprof.jobs.run_order", lambda *_args, **_kwargs: measured)
    invoke(*words, "--device", "cpu", "--time-steps", "16,32,64", "-o", path)
    assert calls == {"fold": 1, "certify": 1, "advise": 1}


def test_of_a_comparison(path: Path, calls: Counter[str]) -> None:
    other = path.with_name("two.jsonl")
    other.write_bytes(path.read_bytes())
    invoke("compare", path, other)
    assert calls["fold"] == calls["certify"] == 2


def test_of_a_gate(path: Path, calls: Counter[str]) -> None:
    budget = path.with_name("budget.toml")
    budget.write_text("version = 1\n[[max-batch]]\ntime-steps = 16\nat-least = 1\n")
    invoke("check", path, "--budget", budget)
    assert calls["fold"] == calls["certify"] == 1


def test_of_a_gate_with_a_baseline(path: Path, calls: Counter[str]) -> None:
    base, budget = path.with_name("base.jsonl"), path.with_name("budget.toml")
    base.write_bytes(path.read_bytes())
    budget.write_text("version = 1\n[growth]\nmemory = 0.05\n")
    invoke("check", path, "--budget", budget, "--baseline", base)
    assert calls["fold"] == calls["certify"] == 2
