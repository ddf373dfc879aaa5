"""The one table of words for outcomes, and what sentences share."""

from __future__ import annotations

import pytest

from rnnprof.report.charts.kit.boxes import LOOKS
from rnnprof.report.words.outcomes import OUTCOMES
from rnnprof.report.words.phrases import counted, sentences, unit_note, values_in_words
from rnnprof.runfile.points import Outcome


def test_every_outcome_has_words_that_fit_their_places() -> None:
    assert set(OUTCOMES) == set(Outcome)
    assert all(len(words.short) <= 7 for words in OUTCOMES.values())
    assert all(len(words.least) <= 5 for words in OUTCOMES.values())
    for kind in ("meaning", "ending", "cell"):
        assert all(getattr(words, kind) for words in OUTCOMES.values())
        assert len({getattr(words, kind) for words in OUTCOMES.values()}) == len(OUTCOMES)


def test_the_charts_have_a_look_for_each_outcome_without_a_number() -> None:
    assert set(LOOKS) == set(Outcome) - {Outcome.MEASURED}
    assert all(look.words is OUTCOMES[outcome] for outcome, look in LOOKS.items())


def test_counts_and_clauses_become_sentences() -> None:
    assert [counted(count, "point") for count in (0, 1, 2000)] == [
        "0 points", "1 point", "2,000 points",
    ]  # fmt: skip
    assert sentences(["at T=16 it fits", "", "B=8 does not"]) == "At T=16 it fits. B=8 does not."
    assert sentences([]) == ""


@pytest.mark.parametrize(
    ("values", "text"),
    [([16], "T=16"), ([16, 32], "T=16 and T=32"), ([16, 32, 64], "3 T from 16 to 64")],
)
def test_values_are_named_or_counted(values: list[int], text: str) -> None:
    assert values_in_words("T", values) == text


def test_only_the_letters_in_use_are_explained() -> None:
    units = {"k": "thousand", "M": "million"}
    assert unit_note(["1.2k", "512"], units) == " (k: thousand)"
    assert unit_note(["512"], units) == ""
