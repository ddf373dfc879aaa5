"""The benchmark of the gate: its figures, from pairs whose outcome is known."""

from __future__ import annotations

import importlib.util
import random

import pytest
from benchmarks.performance.gate import (
    Pair,
    Series,
    _write,
    noise_of,
    read,
    rejudged,
    rules,
    summary,
)


def a_pair(seed: int, change: float = 0.0, sigma: float = 0.01, verdict: str = "PASS") -> Pair:
    draw = random.Random(seed)

    def side(typical_s: float) -> tuple[float, ...]:
        return tuple(typical_s * draw.lognormvariate(0, sigma) for _ in range(5))

    base, new = side(0.01), side(0.01 * (1 + change))
    samples = [
        tuple(
            tuple(m * draw.lognormvariate(0, 0.02) for _ in range(20 + place))
            for place, m in enumerate(medians)
        )
        for medians in (base, new)
    ]
    return Pair(base, new, samples[0], samples[1], verdict, "", 0, 1.0)


def many(change: float, count: int = 20) -> Series:
    return Series(f"{change:.0%}", [a_pair(seed, change) for seed in range(count)])


def test_the_noise_is_that_between_processes_of_one_side() -> None:
    assert noise_of(many(0.5, 200).pairs) == pytest.approx(0.01, rel=0.1)


def test_a_limit_of_three_times_the_noise_tells_four_times_it_and_calls_nothing_else() -> None:
    assert rejudged(many(0.0).pairs, 0.03).get("FAIL", 0) == 0
    assert rejudged(many(0.06).pairs, 0.03).get("PASS", 0) == 0
    assert rejudged(many(0.12).pairs, 0.03) == {"FAIL": 20}


def test_the_mean_change_is_told() -> None:
    assert many(0.1).change_ratio() == pytest.approx(0.1, abs=0.005)
    assert Series("empty").change_ratio() is None


def test_the_table_has_a_line_for_each_series_and_each_rule() -> None:
    series = [many(0.0), many(0.06), many(0.12), Series("1% more memory", [a_pair(1)])]
    found = {"noise_ratio": 0.01, "limit_ratio": 0.03, "series": series}
    text = "\n".join(summary({**found, "rules": {"always": lambda *_: True, "gone": "no module"}}))
    assert "limit 3%: 3 times the noise between processes, 1%" in text
    assert "20 of 20" in text
    assert "gone" in text
    for each in series:
        assert each.name in text


def test_what_was_written_is_judged_again_as_it_was(tmp_path) -> None:
    found = {"noise_ratio": 0.01, "limit_ratio": 0.03, "series": [many(0.0), Series("more", [])]}
    _write(tmp_path / "gate.json", found, [])
    again = read(tmp_path / "gate.json")
    assert again["series"] == found["series"]
    assert rejudged(again["series"][0].pairs, 0.03) == rejudged(many(0.0).pairs, 0.03)


def test_the_rules_of_others_are_their_own_code_or_say_why_not() -> None:
    for name, rule in rules().items():
        package = "pyperf" if name.startswith("pyperf") else "pytest_benchmark"
        assert isinstance(rule, str) == (importlib.util.find_spec(package) is None)
        if not isinstance(rule, str):
            assert rule(a_pair(1, change=1.0), 0.03)
            assert not rule(a_pair(1, change=-0.5), 0.03)
