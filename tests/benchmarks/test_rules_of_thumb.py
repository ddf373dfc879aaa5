"""The study of the rules of thumb judges what it is given, either way."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from benchmarks.studies.rules import CONDITIONS, HOLDS, NOT_HERE, POWERS, RULES, Judged, Seen
from benchmarks.studies.rules_of_thumb import PAGES, page
from matplotlib.figure import Figure

from fakes import a_fit
from rnnprof.maxbatch.certify import Terms, conclude
from rnnprof.points.measurement import Measurement
from rnnprof.runfile.points import Outcome, Point
from rnnprof.study.trainability import trainability_of
from study_samples import studied

MIB = 1 << 20
LIMIT = 256 * MIB
BATCH = (8, 31, 32, 33, 63, 64, 65, 127, 128, 129, 256)
STEPS = (10, 20, 30, 80)


def point(batch: int, time_steps: int, per_s: float) -> Measurement:
    return Measurement(
        Point(batch, time_steps), Outcome.MEASURED, time_steps_per_s=per_s,
        step_time_s=batch * time_steps / per_s,
        step_time_within_ci_s=(0.99 * batch * time_steps / per_s,
        1.01 * batch * time_steps / per_s),
        peak_allocated_bytes=MIB + 4096 * batch * time_steps,
        peak_charged_bytes=MIB + 5000 * batch * time_steps,
    )  # fmt: skip


def seen(flat: bool = False, favoured: float = 1.0) -> Seen:
    def per_s(batch: int) -> float:
        rate = 1e5 if flat else 1e5 * batch / (batch + 64)
        return rate * (favoured if batch in POWERS else 1.0)

    points = {Point(b, t): point(b, t, per_s(b)) for b in BATCH for t in STEPS}
    passed = a_fit(Point(100, 80), train_steps_run=10, peak_charged_bytes=LIMIT)
    failed = a_fit(Point(101, 80), outcome=Outcome.OOM)
    edge = conclude(80, [passed, failed], Terms(LIMIT, 1000))
    return Seen(points, (edge,), trainability_of(studied()), LIMIT)


def judged(name: str, what: Seen) -> Judged:
    return next(rule for rule in RULES if rule.name == name).judge(what)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_is_judged_and_drawn(rule) -> None:
    found = rule.judge(seen())
    assert found.verdict in (HOLDS, CONDITIONS, NOT_HERE)
    axes = Figure().subplots()
    found.draw(axes)
    assert axes.get_ylabel()
    assert axes.lines


def sections(name: str, what: Seen) -> list[str]:
    """A page's rules, each its title, what is told and its chart."""
    _head, *told = page(name, [(rule, rule.judge(what)) for rule in RULES], studied()).split("## ")
    return told


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("what", [seen(), seen(flat=True), seen(favoured=1.3)])
def test_a_page_tells_every_rule_in_whole_sentences(name: str, what: Seen) -> None:
    told = sections(name, what)
    assert len(told) == len(RULES)
    for rule, text in zip(RULES, told, strict=True):
        assert f"({rule.name}.png)" in text
        assert not re.search(r"None|nan|\{|  |\n\n\n", text.strip())


def test_the_chinese_page_has_no_english_words() -> None:
    for text in sections("README.zh-CN.md", seen()):
        words = re.findall(r"[A-Za-z]{2,}", re.sub(r"\([\w-]+\.png\)", "", text))
        assert {*words} <= {"MiB"}, "English in the Chinese text"


def test_a_throughput_that_does_not_rise_is_no_parallelism() -> None:
    assert judged("larger-is-faster", seen(flat=True)).verdict == NOT_HERE
    assert judged("larger-is-faster", seen()).verdict in (HOLDS, CONDITIONS)
    assert judged("lower-but-not-too-far", seen(flat=True)).verdict == NOT_HERE


@pytest.mark.parametrize(("favoured", "verdict"), [(1.0, NOT_HERE), (1.3, HOLDS), (0.7, NOT_HERE)])
def test_powers_of_two_have_to_be_better_than_both_neighbours(favoured, verdict) -> None:
    assert judged("powers-of-two", seen(favoured=favoured)).verdict == verdict


def test_without_an_edge_nothing_is_said_to_be_too_large() -> None:
    assert judged("too-large-does-not-fit", seen()).verdict == HOLDS
    assert judged("too-large-does-not-fit", replace(seen(), frontier=())).verdict == NOT_HERE
