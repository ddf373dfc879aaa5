"""What a report says where a study of trainability found the goodput."""

from __future__ import annotations

from dataclasses import replace

from rnnprof.report.model import report_of
from rnnprof.report.text.answer import advice_in_words
from study_samples import studied


def test_where_goodput_says_another_batch_the_answer_begins_with_both() -> None:
    report = report_of(studied())
    words = advice_in_words(report).splitlines()
    assert words[0] == "T=16: train with B=64"
    assert "By goodput at T=16: train with B=64" in words
    (one,) = report.advice.recommendations
    other = replace(report.advice, recommendations=(replace(one, batch=8),))
    words = advice_in_words(replace(report, advice=other)).splitlines()
    assert words[0] == "T=16: train with B=8"
    assert "By goodput at T=16: train with B=64" in words
