"""Two runs side by side as text."""

from __future__ import annotations

from dataclasses import replace

from fakes import HEADER
from gate_samples import a_run
from rnnprof.compare.comparison import compare
from rnnprof.maxbatch.folded import FoldedRun
from rnnprof.plain_text import WIDTH
from rnnprof.report.text.comparison import comparison_in_words
from rnnprof.workload import ScriptSource, workload_of_script


def of_words(*argv: str) -> FoldedRun:
    script = ScriptSource("train.py", argv=("--batch-size", "{batch}", *argv))
    run = a_run(header=replace(HEADER, workload=workload_of_script(script)))
    return run if isinstance(run, FoldedRun) else FoldedRun.of(run)


def test_of_long_command_lines_the_words_that_differ_are_shown_whole() -> None:
    long = tuple(f"--option-{number}" for number in range(40))
    text = comparison_in_words(compare(of_words(*long, "1", "end"), of_words(*long, "2", "end")))
    assert "  the script's words: 1 in the baseline, 2 in the run\n" in f"{text}\n"
    text = comparison_in_words(compare(of_words(*long[:12]), of_words("--none")))
    assert "in the baseline, --none in the run" in " ".join(text.split())
    assert all(len(line) <= WIDTH for line in text.splitlines())
    cut = comparison_in_words(compare(of_words(*long), of_words("--none")))
    assert " ...\n" in f"{cut}\n"
