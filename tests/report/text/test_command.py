"""The command that repeats a run, read back by the command line itself."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import HEADER, a_request
from report_samples import Said, report_from
from rnnprof.advice.advise import Advice
from rnnprof.advice.recommendation import Recommendation
from rnnprof.cli import options as opt
from rnnprof.cli import trainability
from rnnprof.cli.max_batch import command as max_batch
from rnnprof.cli.profile import command as profile
from rnnprof.report.model import report_of
from rnnprof.report.text.command import LINE_COLUMNS, deciding_command, repeat_command
from rnnprof.runfile.points import Grid
from rnnprof.runfile.records import Request, Run, Settings
from rnnprof.runfile.study import Study
from rnnprof.workload import CELLS, DTYPES, IMPLS, MODES, OPTIMIZERS, FactorySource, Workload

ENVIRONMENT = {"device": "cpu"}
COMMANDS = {"profile": profile, "max-batch": max_batch}


def run_of(workload: Workload, request: Request, limit_bytes: int = 1 << 29) -> Run:
    header = replace(HEADER, workload=workload, limit_bytes=limit_bytes, environment=ENVIRONMENT)
    return Run(header, (request,))


def read_back(text: str) -> tuple[Workload, Settings, Grid]:
    """What the command line makes of the command."""
    program, name, *words = shlex.split(text.replace("\\\n", ""))  # as a shell joins lines
    assert program == "rnnprof"
    context = COMMANDS[name].make_context(name, words)
    options = dict(context.params)
    opt.place_from(options)
    workload, _ = opt.workload_from(context, options)
    return (
        workload,
        opt.settings_from(options),
        Grid(options.get("batch", ()), options["time_steps"]),
    )


cells = st.builds(
    Workload,
    cell=st.sampled_from(CELLS),
    impl=st.sampled_from(IMPLS),
    input_size=st.integers(1, 4096),
    hidden_size=st.integers(1, 4096),
    layers=st.integers(1, 4),
    bidirectional=st.booleans(),
    dropout=st.sampled_from([0.0, 0.25]),
    proj_size=st.sampled_from([0, 64]),
    batch_first=st.booleans(),
    dtype=st.sampled_from(DTYPES),
    optimizer=st.sampled_from(OPTIMIZERS),
    mode=st.sampled_from(MODES),
    compile=st.booleans(),
)
settings = st.builds(
    Settings,
    point_seconds=st.sampled_from([0.5, 2.0]),
    processes=st.integers(1, 3),
    timeout_s=st.sampled_from([None, 30.0]),
    seed=st.integers(0, 2**40),
    prune=st.booleans(),
    confirm_steps=st.integers(1, 20),
    granularity=st.sampled_from([1, 8]),
    headroom_ratio=st.sampled_from([0.05, 0.1]),
    reserve_bytes=st.sampled_from([0, 1 << 20]),
    certify=st.booleans(),
)
axes = st.sets(st.integers(1, 4096), min_size=1, max_size=30).map(sorted).map(tuple)


@given(cells, settings, axes, axes, st.integers(1 << 21, 1 << 40))
def test_the_command_line_reads_the_same_run(workload, chosen, batch, time_steps, limit_bytes):
    request = a_request(Grid(batch, time_steps), chosen)
    text = repeat_command(report_of(run_of(workload, request, limit_bytes)))
    asked = replace(chosen, memory_limit=limit_bytes)
    assert read_back(text) == (workload, asked, Grid(batch, time_steps))


def test_a_frontier_is_repeated_with_its_own_options():
    chosen = Settings(
        point_seconds=2.0, at_most=512, confirm=3, lengths=(4, 8), memory_limit=1 << 20
    )
    request = replace(a_request(Grid((), (16,)), chosen), command="max-batch")
    text = repeat_command(report_of(run_of(Workload(), request, 1 << 20)))
    assert read_back(text) == (Workload(), chosen, Grid((), (16,)))


def test_a_study_is_repeated_with_its_own_options(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = Study(
        "copy", train_steps=0, draws=9, small_batch=3, parts=2, reach_ratio=0.01,
        learning_rate=0.5, rate_rule="sqrt", rate_batch=8, clip_norm=0.25, target_loss=0.125,
        seeds=4, budget_s=1.5, evaluate_every=7,
    )  # fmt: skip
    chosen = Settings(study=study, memory_limit=1 << 20, seed=3)
    workload = Workload(cell="gru", input_size=10)
    request = replace(a_request(Grid((4,), (32, 64)), chosen), command="trainability")
    _, _, *words = shlex.split(
        repeat_command(report_of(run_of(workload, request, 1 << 20))).replace("\\\n", "")
    )
    context = trainability.command.make_context("trainability", words)
    order = trainability._order(context, dict(context.params))
    settings_ = replace(order.settings, point_seconds=chosen.point_seconds)
    assert (order.workload, settings_, order.grid) == (workload, chosen, Grid((4,), (32, 64)))


@pytest.mark.parametrize("args", [{}, {"depth": 2, "name": "it's $HOME", "wide": True, "x": None}])
def test_a_factory_is_named_without_its_folder(args, tmp_path, monkeypatch):
    (tmp_path / "my train.py").write_text("")
    monkeypatch.chdir(tmp_path)
    factory = FactorySource("my train.py:make", args)
    workload = Workload(cell=None, input_size=0, hidden_size=0, layers=0, factory=factory)
    request = a_request(Grid((1,), (2,)))
    read, _, _ = read_back(repeat_command(report_of(run_of(workload, request))))
    assert read == workload


def test_long_commands_are_wrapped_so_that_a_shell_takes_them_as_one():
    grid = Grid(tuple(range(1, 60)), (1, 2))
    request = a_request(grid)
    text = repeat_command(report_of(run_of(Workload(dtype="amp-bf16", impl="native"), request)))
    lines = text.splitlines()
    assert len(lines) > 1
    assert all(line.endswith(" \\") for line in lines[:-1])
    assert "\\" not in lines[-1]


def test_without_a_request_there_is_none():
    assert repeat_command(report_of(Run(HEADER))) == ""


# the command that decides a recommendation


def a_tied(time_steps: int = 16, by_drift: bool = False) -> Recommendation:
    return Recommendation(
        time_steps, None, (8, 16), (8, 16, 64), by_drift, reasons=(Said("it is open"),)
    )


def open_run(
    settings: Settings, command: str = "profile", path: str | None = "my run.jsonl"
) -> Run:
    request = Request("r1", command, Grid((4, 8, 16, 64), (16, 32)), settings, "now")
    return replace(run_of(Workload(), request), path=path)


@given(settings)
def test_the_deciding_command_measures_as_the_run_did_but_in_more_processes(
    settings: Settings,
) -> None:
    advice = Advice((a_tied(), Recommendation(32, 4), a_tied(64)))
    text = deciding_command(report_from((open_run(settings), {}), advice=advice))
    workload, asked, grid = read_back(text)
    assert workload == Workload()
    assert grid == Grid((8, 16, 64), (16, 64))
    processes = max(5, settings.processes + 3)
    assert asked == replace(
        settings, memory_limit=1 << 29, processes=processes, certify=False, at_most=asked.at_most
    )
    assert text.replace("\\\n    ", "").endswith(" --extend -o 'my run.jsonl'")
    assert max(map(len, text.splitlines())) <= LINE_COLUMNS <= 80


def test_a_run_that_drifted_is_left_and_another_one_decides() -> None:
    text = deciding_command(
        report_from((open_run(Settings()), {}), advice=Advice((a_tied(by_drift=True),)))
    )
    assert "--extend" not in text
    assert text.endswith("-o 'my run-again.jsonl'")


def test_what_a_search_tried_is_no_option_of_the_deciding_command() -> None:
    text = deciding_command(
        report_from(
            (open_run(Settings(at_most=99, processes=0), "max-batch"), {}),
            advice=Advice((a_tied(),)),
        )
    )
    assert text.startswith("rnnprof profile ")
    assert "--at-most" not in text
    assert "--processes 5" in text


def test_the_settings_are_those_of_the_last_look_not_of_a_study() -> None:
    run = open_run(Settings(headroom_ratio=0.1, reserve_bytes=1 << 20))
    study = replace(run.requests[0], command="trainability", settings=Settings(study=Study()))
    text = deciding_command(
        report_from((replace(run, requests=(*run.requests, study)), {}), advice=Advice((a_tied(),)))
    )
    _, asked, _ = read_back(text)
    assert (asked.headroom_ratio, asked.reserve_bytes) == (0.1, 1 << 20)


def test_where_nothing_is_open_there_is_no_command() -> None:
    run = open_run(Settings())
    assert deciding_command(report_from((run, {}), advice=Advice((Recommendation(16, 8),)))) == ""
    assert (
        deciding_command(report_from((run, {}), advice=Advice((Recommendation(16, None),)))) == ""
    )
    assert (
        deciding_command(report_from((replace(run, requests=()), {}), advice=Advice((a_tied(),))))
        == ""
    )
