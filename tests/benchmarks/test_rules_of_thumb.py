"""The study of the rules of thumb judges what it is given, either way."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from benchmarks.studies import messages
from benchmarks.studies.messages import Catalogue, load_catalogue, note, placeholders
from benchmarks.studies.powers import POWERS
from benchmarks.studies.rules import RULES, Judged, Verdict
from benchmarks.studies.rules_of_thumb import PAGES, Runs, load_runs, page
from benchmarks.studies.seen import Seen
from matplotlib.figure import Figure

from fakes import a_fit
from rnnprof.maxbatch.certify import conclude
from rnnprof.maxbatch.terms import Terms
from rnnprof.points.measurement import Measurement
from rnnprof.runfile.points import Outcome, Point
from rnnprof.study.trainability import ReachAt, trainability_of
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
    return RULES[name](what)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_judged_and_drawn(name: str) -> None:
    found = judged(name, seen())
    axes = Figure().subplots()
    found.draw(axes)
    assert found.notes
    assert axes.get_ylabel()
    assert axes.lines


def bare() -> Seen:
    """Times alone, slower at a longer T: no largest batch, no neighbours of a power, no study."""
    points = {Point(b, t): point(b, t, 1e5 * b / t) for b in (8, 32, 128) for t in STEPS}
    return Seen(points, (), trainability_of(replace(studied(), observations=())), LIMIT)


def capped() -> Seen:
    """At one T, no batch that was tried runs out of memory."""
    passed = a_fit(Point(100, 80), train_steps_run=10, peak_charged_bytes=LIMIT)
    return replace(seen(), frontier=(conclude(80, [passed], Terms(LIMIT, 100)),))


SAVED = Path(__file__).parents[2] / "reports" / "rules-of-thumb"


@cache
def saved() -> Seen:
    return load_runs(SAVED).seen()


def cut_off(train_steps: int) -> Seen:
    """The saved runs; after so many training steps no sequence holds the whole gradient."""

    def cut(each: ReachAt) -> ReachAt:
        if each.reach is None or each.reach.reach is None or each.train_steps != train_steps:
            return each
        short = replace(each.reach, ratios=each.reach.ratios[: each.reach.reach + 1])
        return replace(each, reach=short)

    study = replace(saved().study, reach=tuple(map(cut, saved().study.reach)))
    return replace(saved(), study=study)


KINDS = {
    "rising": seen, "flat": lambda: seen(flat=True), "favoured": lambda: seen(favoured=1.3),
    "bare": bare, "capped": capped, "saved": saved,
    "cut at the start": lambda: cut_off(0),
    "cut after training": lambda: cut_off(max(e.train_steps for e in saved().study.reach)),
}  # fmt: skip


def sections(language: str, what: Seen) -> list[str]:
    """Each rule of a page: title, verdict, sentences and chart."""
    all_judged = {name: judge(what) for name, judge in RULES.items()}
    conditions = Runs(studied(), studied()).conditions()
    _head, *rules = page(language, all_judged, conditions).split("## ")
    return rules


@pytest.mark.parametrize("language", PAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_has_every_rule_in_whole_sentences(language: str, kind: str) -> None:
    rules = sections(language, KINDS[kind]())
    for name, text in zip(RULES, rules, strict=True):
        assert f"({name}.png)" in text
        items = [line for line in text.splitlines() if line.startswith("- ")]
        assert items
        assert all(re.search(r"[.。]$", item) for item in items)
        assert not re.search(r"None|nan|\{|  |\n\n\n", text.strip())


def test_the_pages_of_the_saved_runs_have_their_conditions() -> None:
    conditions = load_runs(SAVED).conditions()
    everything = {name: judge(saved()) for name, judge in RULES.items()}
    for language in PAGES:
        text = page(language, everything, conditions)
        assert all(figure in text for figure in ("AMD EPYC", "LSTM", "512 MiB", "128", "256"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_chinese_page_has_no_english_words(kind: str) -> None:
    for text in sections("zh-CN", KINDS[kind]()):
        words = re.findall(r"[A-Za-z]{2,}", re.sub(r'\([\w-]+\.png\)|<a id="[\w-]+">', "", text))
        assert {*words} <= {"MiB"}, "English in the Chinese text"


def test_catalogues_have_the_same_messages_with_the_same_placeholders() -> None:
    english, *others = (load_catalogue(language).messages for language in PAGES)
    for other in others:
        assert {*english} == {*other}
        for name, message in english.items():
            assert placeholders(message) == placeholders(other[name]), name


def test_every_message_of_a_rule_is_used() -> None:
    used = {
        each.message
        for kind in KINDS.values()
        for judge in RULES.values()
        for each in judge(kind()).notes
    }
    titles = {f"{name}.title" for name in RULES}
    known = {name for name in load_catalogue("en").messages if name.split(".")[0] in RULES}
    assert used | titles == known


def test_chinese_punctuation_is_full_width() -> None:
    for name, message in load_catalogue("zh-CN").messages.items():
        text = re.sub(r"\{.*?\}|`.*?`|\[.*?\]\(.*?\)", "0", message)
        assert not re.search(r"[,;:!?()]", text), name


def test_a_message_takes_exactly_its_figures(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "xx.toml").write_text(
        'plain = "no figure"\n[rule]\nsize = "{limit:bytes}, {share:ratio}"'
    )
    monkeypatch.setattr(messages, "FOLDER", tmp_path)
    catalogue = load_catalogue("xx")
    assert catalogue == Catalogue(
        {"plain": "no figure", "rule.size": "{limit:bytes}, {share:ratio}"}
    )
    assert catalogue.text(note("rule.size", limit=1 << 20, share=0.5)) == "1.00 MiB, 50%"
    with pytest.raises(KeyError):
        catalogue.say("rule.size", limit=1)
    with pytest.raises(ValueError, match=r"rule.size: no placeholder for more"):
        catalogue.say("rule.size", limit=1, share=1, more=1)


def test_a_throughput_that_does_not_rise_is_no_parallelism() -> None:
    assert judged("larger-is-faster", seen(flat=True)).verdict == Verdict.NOT_HERE
    assert judged("larger-is-faster", seen()).verdict in (Verdict.HOLDS, Verdict.CONDITIONS)
    assert judged("lower-but-not-too-far", seen(flat=True)).verdict == Verdict.NOT_HERE


@pytest.mark.parametrize(
    ("favoured", "verdict"),
    [(1.0, Verdict.NOT_HERE), (1.3, Verdict.HOLDS), (0.7, Verdict.NOT_HERE)],
)
def test_powers_of_two_have_to_be_better_than_both_neighbours(favoured, verdict) -> None:
    assert judged("powers-of-two", seen(favoured=favoured)).verdict == verdict


def test_without_an_edge_nothing_is_said_to_be_too_large() -> None:
    assert judged("too-large-does-not-fit", seen()).verdict == Verdict.HOLDS
    assert (
        judged("too-large-does-not-fit", replace(seen(), frontier=())).verdict == Verdict.NOT_HERE
    )
