"""What every report says of a user's script."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from page_samples import a_report, observed
from report_samples import MIB, grid_sample, report_from
from rnnprof.plain_text import WIDTH
from rnnprof.report.export.document import document, frontier_document
from rnnprof.report.export.points import csv_file, rows
from rnnprof.report.html.blocks import PageRun
from rnnprof.report.html.page import page
from rnnprof.report.model import report_of
from rnnprof.report.text.answer import frontier_in_words, gpus_in_words
from rnnprof.report.text.summary import summary
from rnnprof.report.text.table import table
from rnnprof.report.words.charts import footer, overview_clauses, subject_of
from rnnprof.report.words.decision import decision
from rnnprof.report.words.page import page_title
from rnnprof.report.words.scripts import page_sentences, script_in_words
from rnnprof.runfile.certificates import EdgeStatus
from script_samples import HELD, LONG_SCRIPT, SCRIPT, script_report, script_run

HELD_LINE = (
    "Before its first training step the script holds 64.0 MiB of the 512 MiB (weights 3.00 MiB); "
    "it takes 2.40 s to get there"
)
LARGE = {"held_bytes": 400 * MIB}
LARGE_LINE = (
    "Before its first training step the script holds 400 MiB, 78% of the limit of 512 MiB (weights "
    "3.00 MiB): the data set that it loads counts against the limit"
)


def flat(text: str) -> str:
    return " ".join(text.split())


def test_answer_and_table_say_what_the_script_holds_within_80_columns():
    for said in (frontier_in_words(script_report()), table(script_report())):
        assert HELD_LINE in flat(said)
        assert "optimizer has stepped" not in said  # as every reader expects
        assert max(map(len, said.splitlines())) <= WIDTH


def test_a_large_data_set_is_told_in_a_stronger_sentence():
    report = script_report(**LARGE)
    assert script_in_words(report) == [
        LARGE_LINE, "The script takes 2.40 s to its first training step"
    ]  # fmt: skip
    assert f"{LARGE_LINE}." in decision(report)
    assert not any("Before its first" in each for each in decision(script_report()))


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"held_weight_bytes": None, "start_s": None},
         ["Before its first training step the script holds 64.0 MiB of the 512 MiB"]),
        ({"held_bytes": 0, "held_weight_bytes": 2304, "start_s": None},
         ["Before its first training step the script holds less than 1.00 MiB of the 512 MiB"]),
        ({"held_bytes": None}, ["The script takes 2.40 s to its first training step"]),
        ({"held_bytes": None, "start_s": None, "held_weight_bytes": None}, []),
    ],
)  # fmt: skip
def test_what_is_not_known_is_not_said(changes, lines):
    assert script_in_words(script_report(**changes)) == lines


@pytest.mark.parametrize(
    ("step_end", "events", "text"),
    [
        ("optimizer", 6, "6 optimizer steps in turn make one training step"),
        ("weights", 1, "No optimizer stepped: a training step ends where the weights change"),
        ("weights", 4, "ends where the weights change, after 4 backward passes"),
        ("backward", 1, "No optimizer stepped: a training step ends with each backward pass"),
        ("backward", 2, "No optimizer stepped: 2 backward passes make one training step"),
    ],
)  # fmt: skip
def test_an_unusual_end_of_a_training_step_stands_in_the_answer(step_end, events, text):
    report = script_report(step_end=step_end, events_per_step=events)
    assert text in flat(frontier_in_words(report))
    assert any(each.endswith(f"{text}.") for each in page_sentences(report))


def test_ways_in_which_passes_differ_are_all_named():
    run = script_run()
    first = replace(run.observations[0], step_end="weights")
    report = report_of(replace(run, observations=(first, *run.observations[1:])))
    assert script_in_words(report)[-1] == (
        "Passes differ: no optimizer stepped: a training step ends where the weights change; a "
        "training step ends when the optimizer has stepped"
    )


def test_the_page_has_the_script_its_steps_and_what_its_layers_got():
    html = page([a_report(script_report(), "frontier")])
    assert 'id="section-script"' in html
    assert "train.py --batch-size {batch} --bptt {time_steps}" in html
    assert "A training step ends when the optimizer has stepped." in html
    assert f"{HELD_LINE}." in html
    table_of_script = html.split('id="script-table"')[1].split("</table>")[0]
    cells = [part.split("<")[0] for part in table_of_script.split("<td")[1:]]
    values = [cell.rpartition(">")[2] for cell in cells]
    assert values[-10:] == [
        "70", "165", "70", "165", "2.40", "64.0", "3.00", "optimizer", "1", "f00165000070"
    ]  # fmt: skip


def test_page_and_summary_repeat_the_run_with_the_script():
    report = script_report()
    for text in (page([PageRun.of(report, {})]), summary(report)):
        assert "-- python train.py" in flat(text).replace("\\ ", "")
        assert "{batch} --bptt {time_steps}" in flat(text).replace("\\ ", "")


def test_a_page_of_other_workloads_has_no_such_section():
    assert "section-script" not in page([a_report(observed(), "frontier")])
    both = page([a_report(script_report(), "frontier"), a_report(observed(), "frontier")])
    assert "This run is not of a script." in both


def test_provenance_names_no_option_that_a_script_does_not_have():
    html = page([a_report(script_report(), "frontier")])
    provenance = html.split('id="section-provenance"')[1].split("</section>")[0]
    assert "<dt>script.target</dt>" in provenance
    assert "<dt>optimizer</dt>" not in provenance
    assert "<dt>hidden_size</dt>" not in provenance


def test_t_as_seen_is_said_where_the_script_is_not_given_it():
    given = replace(SCRIPT, argv=("--batch-size", "{batch}"))
    assert any("{time_steps}" in each for each in page_sentences(script_report(given)))
    assert not any("{time_steps}" in each for each in page_sentences(script_report()))


def test_a_script_that_no_pass_brought_to_a_training_step():
    run = script_run(**dict.fromkeys(HELD))
    report = report_of(run)
    assert report.script_facts is None
    assert script_in_words(report) == []
    assert page_sentences(report) == ["No pass reached a training step of the script."]
    assert "script-table" not in page([a_report(report, "frontier")])


def test_the_summary_says_each_sentence_once():
    text = flat(summary(script_report(**LARGE)))
    assert text.count("counts against the limit") == 1
    assert "A training step ends when the optimizer has stepped." in text
    assert flat(summary(script_report())).count("it takes 2.40 s to get there") == 1


def test_json_has_the_facts_at_points_and_at_proofs():
    whole = json.loads(json.dumps(document(script_report())))
    assert [point["start_s"] for point in whole["points"][:2]] == [2.4, 2.4]
    for each in (whole["points"][0], *whole["frontier"]):
        assert {name: each[name] for name in HELD} == HELD
    brief = frontier_document(script_report())["frontier"]
    assert [each["held_bytes"] for each in brief] == [64 * MIB] * 2


def test_json_has_null_where_a_proof_has_no_fit_and_nothing_for_other_workloads():
    report = script_report()
    nothing = replace(report.frontier[0], status=EdgeStatus.NOTHING_FITS, fits=None, batch=None)
    (found,) = frontier_document(replace(report, frontier=(nothing,)))["frontier"]
    assert {found[name] for name in HELD} == {None}
    built_in = document(report_from(grid_sample((4,), (16,))))
    assert built_in["points"][0]["held_bytes"] is None


def test_csv_has_the_facts_and_no_options_of_the_built_in_cells():
    (first, *_) = csv.DictReader(io.StringIO(csv_file(rows(script_report())).decode()))
    assert (first["start_s"], first["held_bytes"]) == ("2.4", str(64 * MIB))
    assert (first["step_end"], first["events_per_step"]) == ("optimizer", "1")
    assert (first["cell"], first["optimizer"], first["input_size"]) == ("", "", "")
    assert first["workload"] == "train.py --batch-size {batch} --bptt {time_steps}"


def test_a_long_command_line_is_cut_and_its_name_stays():
    report = script_report(LONG_SCRIPT)
    named = "python -m speech_recognition"
    assert subject_of(report).startswith(named)
    assert len(footer(report, 90)[0]) <= 90
    assert footer(report, 90)[0].startswith(named)
    assert footer(report, 1000)[0].startswith("HYDRA_FULL_ERROR=1 ")
    assert page_title([report]).startswith(named)
    assert page_title([report]).endswith("on AMD EPYC 7B13, 2 processors")
    assert table(report).startswith(named)
    assert len(overview_clauses(report)[0]) <= 100


def test_simulated_gpus_are_named_with_what_the_script_holds():
    run = script_run()
    facts = {**run.header.environment, "device": "cuda"}
    reports = [
        report_of(replace(run, header=replace(run.header, environment=facts | {"device_name": n})))
        for n in ("Tesla T4", "H100")
    ]
    said = flat(gpus_in_words(reports))
    assert f"Tesla T4: {HELD_LINE}" in said
    assert f"H100: {HELD_LINE}" in said
    assert "--impl" not in said
