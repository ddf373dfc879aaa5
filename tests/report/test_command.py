"""The command that repeats a run, read back by the command line itself."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import HEADER, a_request
from rnnprof.cli import options as opt
from rnnprof.cli import trainability
from rnnprof.cli.max_batch import command as max_batch
from rnnprof.cli.profile import command as profile
from rnnprof.records import Grid, Request, Run, Settings
from rnnprof.report.command import repeat_command
from rnnprof.study import Study
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
    return workload, opt.settings_from(options), Grid(options.get("batch", ()), options["steps"])


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
def test_the_command_line_reads_the_same_run(workload, chosen, batch, steps, limit_bytes):
    request = a_request(Grid(batch, steps), chosen)
    text = repeat_command(run_of(workload, request, limit_bytes))
    asked = replace(chosen, memory_limit=limit_bytes)
    assert read_back(text) == (workload, asked, Grid(batch, steps))


def test_a_frontier_is_repeated_with_its_own_options():
    chosen = Settings(
        point_seconds=2.0, at_most=512, confirm=3, lengths=(4, 8), memory_limit=1 << 20
    )
    request = replace(a_request(Grid((), (16,)), chosen), command="max-batch")
    text = repeat_command(run_of(Workload(), request, 1 << 20))
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
        repeat_command(run_of(workload, request, 1 << 20)).replace("\\\n", "")
    )
    context = trainability.command.make_context("trainability", words)
    order = trainability._order(context, dict(context.params))
    settings_ = replace(order.settings, point_seconds=chosen.point_seconds)
    assert (order.workload, settings_, order.grid) == (workload, chosen, Grid((4,), (32, 64)))


@pytest.mark.parametrize("args", [{}, {"depth": 2, "name": "it's $HOME", "wide": True, "x": None}])
def test_a_factory_is_named_without_its_folder(args, tmp_path, monkeypatch):
    (tmp_path / "my train.py").write_text("")
    monkeypatch.chdir(tmp_path)
    factory = FactorySource("my train.py:make", "0" * 64, args)
    workload = Workload(cell=None, input_size=0, hidden_size=0, layers=0, factory=factory)
    request = a_request(Grid((1,), (2,)))
    read, _, _ = read_back(repeat_command(run_of(workload, request)))
    assert read == replace(workload, factory=replace(factory, sha256=""))


def test_long_commands_are_wrapped_so_that_a_shell_takes_them_as_one():
    grid = Grid(tuple(range(1, 60)), (1, 2))
    request = a_request(grid)
    text = repeat_command(run_of(Workload(dtype="amp-bf16", impl="native"), request))
    lines = text.splitlines()
    assert len(lines) > 1
    assert all(line.endswith(" \\") for line in lines[:-1])
    assert "\\" not in lines[-1]


def test_without_a_request_there_is_none():
    assert repeat_command(Run(HEADER)) == ""
