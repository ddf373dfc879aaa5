"""The command that repeats a run, read back by the command line itself."""

from __future__ import annotations

import math
import os
import shlex
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import HealthCheck, given, reject
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fakes import HEADER, a_request
from report_samples import Said, report_from
from rnnprof.advice.advise import Advice
from rnnprof.advice.recommendation import Recommendation
from rnnprof.cli import options as opt
from rnnprof.cli import trainability, types
from rnnprof.cli.max_batch import command as max_batch
from rnnprof.cli.profile import command as profile
from rnnprof.defaults import COMMANDS as COMMANDS_OF_RUNS
from rnnprof.errors import BadInputError, RunFileError
from rnnprof.plain_text import for_terminal, printable
from rnnprof.redaction import STRUCK
from rnnprof.report.model import report_of
from rnnprof.report.text.command import (
    LINE_COLUMNS,
    Repetition,
    deciding_command,
    repeat_command,
    repetition,
)
from rnnprof.report.text.flags import RANGES
from rnnprof.report.text.summary import summary
from rnnprof.report.words.command import TO_REPEAT, TO_REPEAT_THE_LAST
from rnnprof.runfile import journal
from rnnprof.runfile.points import Grid
from rnnprof.runfile.records import Host, Request, Run, Settings
from rnnprof.runfile.study import RATE_RULES, TASKS, Study
from rnnprof.script_command import pairs_of
from rnnprof.simulate.description import GpuDescription, describe, describe_all, models
from rnnprof.workload import (
    CELLS,
    DTYPES,
    IMPLS,
    LOOPS,
    MODES,
    OPTIMIZERS,
    FactorySource,
    ScriptSource,
    Workload,
    workload_of,
    workload_of_script,
)

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
    workload = opt.workload_from(context, options, runs=False).workload
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
    (tmp_path / "my train.py").write_text("def make(batch, time_steps, device): ...\n")
    monkeypatch.chdir(tmp_path)
    factory = FactorySource("my train.py:make", args)
    workload = Workload(cell=None, input_size=0, hidden_size=0, layers=0, factory=factory)
    request = a_request(Grid((1,), (2,)))
    read, _, _ = read_back(repeat_command(report_of(run_of(workload, request))))
    assert read == workload


SCRIPT = ScriptSource(
    "train.py",
    argv=("--batch-size", "{batch}", "--name", "it's $HOME", "-v", "--token", "***", "x"),
    env={"BS": "{batch}"}, assignments={"config.SEQ": "{time_steps}"},
    setup="make data", prepare="rm -f *.pt",
)  # fmt: skip


def test_a_script_comes_last_and_its_sizes_stay_readable(tmp_path, monkeypatch):
    (tmp_path / "train.py").write_text("")
    (tmp_path / "config.py").write_text("SEQ = 3\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")  # then python is the Python of the tests
    how = repetition(report_of(run_of(workload_of_script(SCRIPT), a_request(Grid((1,), (2, 4))))))
    text = " ".join(how.command.replace("\\\n", "").split())
    assert text.endswith(
        " -- python train.py --batch-size {batch} --name 'it'\"'\"'s $HOME' -v --token '***' x"
    )
    assert " --env BS={batch} --set config.SEQ={time_steps} --setup 'make data' " in text
    assert "*** stands for a value that is not kept" in how.remark
    assert max(map(len, how.command.splitlines())) <= LINE_COLUMNS
    read, _, grid = read_back(how.command)
    assert read == workload_of_script(SCRIPT)
    assert grid == Grid((1,), (2, 4))


@pytest.mark.parametrize(
    ("script", "request_", "why"),
    [
        (ScriptSource("t.py", argv=("{batch}",)), a_request(Grid((1,), (2, 4))), "no time steps"),
        (ScriptSource("t.py"), a_request(Grid((1,), (2,))), "{batch} stands nowhere"),
        (ScriptSource("t.py", argv=("{batch}",), env={"PYTHONPATH": "x"}),
         a_request(Grid((1,), (2,))), "--env PYTHONPATH"),
        (ScriptSource("torchrun", argv=("{batch}",)), a_request(Grid((1,), (2,))), "torchrun"),
        (ScriptSource("t.py", argv=("{batch}",)),
         replace(a_request(Grid((1,), (2,))), command="trainability"), "takes no script"),
    ],
)  # fmt: skip
def test_a_script_that_no_command_line_starts_is_told(script, request_, why):
    how = repetition(report_of(run_of(workload_of_script(script), request_)))
    assert how.command == ""
    assert why in how.remark


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


# any run at all

ODD_TEXT = st.one_of(
    st.text(max_size=20),
    st.sampled_from([
        "-x", "--overwrite", "a b", "it's", "$(touch pwned)", "`touch pwned`", "; touch pwned",
        "&& touch pwned", "| touch pwned", "> pwned", "\n touch pwned\n", "\x1b[31m", "\u202etxt",
        "\t", "*", "~", "!!", "#", "##[add-mask]x", "{a,b}", "\\", "\\\n", "'\\''", '"', "é", "深",
        "\udc80\udcff", "\ud800", "a\0b", "True", "None", "null", "1", "1e5", "NaN", '"1"', "[1",
        "", " 5 ", "=x", "k=v", "\N{NO-BREAK SPACE}", "\u200b", "\U000e0041", "\uffff",
    ]),
)  # fmt: skip
FILE_NAMES = ODD_TEXT.map(lambda text: f"{text}.py".replace("/", "-").replace("\0", "0"))
REFERENCES = st.one_of(FILE_NAMES, st.just("package.module")).map(lambda name: f"{name}:make")
JSON_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        ODD_TEXT,
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(ODD_TEXT, inner, max_size=2)
    ),
    max_leaves=4,
)
RARELY = st.sampled_from([False] * 49 + [True])
"""One value in so many is odd: a command has many, and one that no option takes leaves none."""


def mostly(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return RARELY.flatmap(lambda is_odd: odd if is_odd else usual)


FACTORIES = st.builds(
    FactorySource,
    REFERENCES,
    st.dictionaries(
        mostly(st.sampled_from(["depth", "wide", "π"]), ODD_TEXT), JSON_VALUES, max_size=3
    ),
    st.lists(mostly(st.sampled_from(["token", "key"]), ODD_TEXT), max_size=2).map(tuple),
    st.dictionaries(
        mostly(st.just("password"), ODD_TEXT), mostly(st.just("HUB"), ODD_TEXT), max_size=1
    ),
    st.lists(mostly(st.sampled_from(["--data", "a b", "***", "-v"]), ODD_TEXT), max_size=3).map(
        tuple
    ),
)
SIZED = st.sampled_from(["--batch-size", "{batch}", "data.bs={batch}", "a b", "***", "-v", "--x=1"])
VARIABLES = st.sampled_from(["BS", "_a", "HF_TOKEN"])
SCRIPTS = st.builds(
    ScriptSource,
    FILE_NAMES,
    argv=st.lists(mostly(SIZED, ODD_TEXT), max_size=5).map(lambda found: ("{batch}", *found)),
    env=st.dictionaries(
        mostly(VARIABLES, st.just("PYTHONPATH")), mostly(SIZED, ODD_TEXT), max_size=2
    ),
    assignments=st.dictionaries(
        st.sampled_from(["BATCH", "config.SEQ", "π"]), mostly(SIZED, ODD_TEXT), max_size=2
    ),
    setup=st.one_of(st.none(), mostly(st.just("make data"), ODD_TEXT)),
    prepare=st.one_of(st.none(), mostly(st.just("rm -f *.pt {batch}"), ODD_TEXT)),
) | st.builds(ScriptSource, st.just("package.module"), st.just(True), st.just(("{batch}",)))
COUNTS = mostly(st.integers(2, 100), st.integers(0, (1 << 63) - 1))
NUMBERS = mostly(
    st.floats(0, 1, exclude_min=True, exclude_max=True), st.sampled_from([0.0, 5e-324, 1.0, 1e16])
)
STUDIES = st.builds(
    Study,
    task=st.sampled_from([None, *TASKS]),
    rate_rule=st.sampled_from(RATE_RULES),
    **dict.fromkeys(
        ("train_steps", "draws", "small_batch", "parts", "rate_batch", "seeds"), COUNTS
    ),
    **dict.fromkeys(("reach_ratio", "learning_rate", "clip_norm", "target_loss"), NUMBERS),
    budget_s=NUMBERS,
    evaluate_every=COUNTS,
)
ANY_SETTINGS = st.builds(
    Settings,
    gpu_memory_bytes=st.sampled_from([None, 1, (1 << 62) + 1]),
    timeout_s=st.one_of(st.none(), NUMBERS),
    lengths=mostly(st.just(()), st.lists(COUNTS, max_size=3).map(tuple)),
    prune=st.booleans(),
    certify=st.booleans(),
    fast=st.booleans(),
    study=st.one_of(st.none(), STUDIES),
    **dict.fromkeys(("point_seconds", "headroom_ratio"), NUMBERS),
    **dict.fromkeys(
        ("processes", "seed", "confirm_steps", "through", "granularity", "reserve_bytes"), COUNTS
    ),
    confirm=mostly(st.just(1), COUNTS),
    at_most=mostly(st.just(65536), COUNTS),
)  # fmt: skip
ANY_CELLS = st.builds(
    Workload,
    **dict.fromkeys(("input_size", "hidden_size"), st.integers(0, 2**31 - 1)),
    **dict.fromkeys(("layers", "proj_size"), st.integers(0, 1025)),
    dropout=st.floats(0, 1, exclude_max=True),
    **{
        name: st.sampled_from(known)
        for name, known in {
            "cell": CELLS, "impl": IMPLS, "dtype": DTYPES, "optimizer": OPTIMIZERS, "mode": MODES,
            "loop": LOOPS,
        }.items()
    },
    **dict.fromkeys(("bidirectional", "batch_first", "compile"), st.booleans()),
)  # fmt: skip
GPU = describe("memory=16GiB,sms=40,capability=7.5")
NAMES = ODD_TEXT.map(lambda text: text.encode(errors="replace").decode())
GPUS = st.one_of(
    st.sampled_from([*models().values(), GPU]),
    st.builds(lambda name, model: replace(GPU, name=name, model=model), NAMES, NAMES),
)
PLACES = st.one_of(
    st.sampled_from([{"device": "cpu"}, {"device": "cuda"}, {"device": "cuda:3"}, {}]),
    GPUS.map(lambda gpu: {"device": "cuda", "simulated": gpu.as_text()}),
)
ANY_AXIS = mostly(
    st.lists(st.integers(1, (1 << 31) - 1), min_size=1, max_size=4),
    st.lists(st.integers(0, 1 << 32), max_size=4),
).map(tuple)
ANY_COMMAND = st.sampled_from(COMMANDS_OF_RUNS)


@st.composite
def any_runs(draw: st.DrawFn) -> Run:
    """A run that :func:`rnnprof.runfile.journal.read` accepts."""
    users_code = FACTORIES.map(workload_of) | SCRIPTS.map(workload_of_script)
    workload = draw(st.one_of(ANY_CELLS, users_code))
    header = replace(HEADER, workload=workload, environment=draw(PLACES), limit_bytes=None)
    request = Request(
        "r1", draw(ANY_COMMAND), Grid(draw(ANY_AXIS), draw(ANY_AXIS)), draw(ANY_SETTINGS), "now"
    )
    run = Run(header, (request,), hosts=(Host("r1", draw(COUNTS), "0.1.0"),))
    try:
        return loaded(run)
    except (RunFileError, BadInputError):  # as of a GPU whose name has a semicolon
        reject()


REFUSED_OFTEN = (HealthCheck.filter_too_much, HealthCheck.too_slow)
"""Many runs are not accepted; that enough are is what the first test below is for."""


def loaded(run: Run) -> Run:
    lines = [journal.to_line(each) for each in (run.header, *run.requests, *run.hosts)]
    found = journal.read(b"".join(lines), Path("run.jsonl"))
    assert found is not None
    return found


def command_words(text: str) -> list[str]:
    """What a shell makes of the command, without running it."""
    script = f"set -f; set -- {text}\nprintf '%s\\0' \"$@\""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["bash", "-c", script], capture_output=True, check=True, cwd=folder, timeout=20
        )
        assert list(Path(folder).iterdir()) == []
    assert done.stderr == b""
    return [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]


def parsed(words: list[str]) -> tuple[click.Context, str]:
    program, name, *rest = words
    assert program == "rnnprof"
    commands = {**COMMANDS, "trainability": trainability.command}
    return commands[name].make_context(name, rest), name


def test_most_runs_have_a_command() -> None:
    """Else the next test says little."""
    found: list[bool] = []

    @hypothesis_settings(max_examples=50, suppress_health_check=REFUSED_OFTEN)
    @given(any_runs())
    def look(run: Run) -> None:
        found.append(bool(repeat_command(report_of(run))))

    look()
    assert sum(found) > len(found) / 6


@hypothesis_settings(suppress_health_check=REFUSED_OFTEN)
@given(any_runs())
def test_every_command_parses_and_starts_nothing_else(run: Run) -> None:
    report = report_from((run, {}), advice=Advice((a_tied(),)))
    how = repetition(report)
    assert how.remark
    for text in filter(None, (how.command, deciding_command(report))):
        assert printable(text, "\n") == text
        assert for_terminal(text) == text
        assert shlex.split(text.replace("\\\n", ""))[0] == "rnnprof"
        context, name = parsed(command_words(text))
        says_the_same(run, context, name)


def args_of(options: dict[str, Any]) -> dict[str, Any]:
    """The factory's arguments without its secrets, as the command line reads them."""
    pairs = opt._pairs("--factory-arg", options["factory_args"])
    return {name: opt._value(text) for name, text in pairs if text != STRUCK}


def says_the_same_script(script: ScriptSource, given: dict[str, Any]) -> None:
    """The name is given as it stands, but for one that Python would take for a flag."""
    name = f"./{script.target}" if script.target.startswith("-") else script.target
    opening = ("python", "-m", name) if script.is_module else ("python", name)
    assert given["script"] == tuple(on_disk(word) for word in (*opening, *script.argv))
    assert pairs_of("--env", given["env"]) == in_files(script.env)
    assert pairs_of("--set", given["assignments"]) == in_files(script.assignments)
    for told, known in ((given["setup"], script.setup), (given["prepare"], script.prepare)):
        assert told == (None if known is None else on_disk(known))


def on_disk(text: str) -> str:
    """A text as the words of a command have it: their bytes are those of a file's name."""
    return os.fsdecode(os.fsencode(text))


def in_files(texts: dict[str, str]) -> dict[str, str]:
    return {name: on_disk(text) for name, text in texts.items()}


def says_the_same(run: Run, context: click.Context, name: str) -> None:
    """What the words mean is what the run file holds; a factory's file is not there."""
    given_, header = context.params, run.header
    if header.workload.script is not None:
        says_the_same_script(header.workload.script, given_)
    elif header.workload.factory is None:
        assert opt.workload_from(context, dict(given_)).workload == header.workload
    else:
        assert os.fsencode(given_["factory"]) == os.fsencode(header.workload.factory.reference)
        assert args_of(given_) == header.workload.factory.args
        assert opt._split(given_["factory_argv"]) == header.workload.factory.argv
        assert dict(opt._pairs("", given_["factory_env"])) == header.workload.factory.env_args
    if run.is_simulated:
        [gpu] = describe_all(given_["simulate"])
        known = GpuDescription.from_text(header.environment["simulated"])
        assert replace(gpu, model="", assumed=()) == replace(known, model="", assumed=())
    settings = run.requests[0].settings
    assert given_["seed"] == settings.seed
    assert given_["timeout"] == settings.timeout_s
    if name == run.requests[0].command == "trainability":
        assert settings.study is None or trainability._study(given_, header.workload) == replace(
            settings.study, task=None if header.workload.factory else settings.study.task
        )


@pytest.mark.parametrize("command", ["profile", "max-batch", "trainability"])
def test_the_ranges_are_those_of_the_command_line(command: str) -> None:
    """A value at either end is taken, and one beyond is not."""
    for parameter in {**COMMANDS, "trainability": trainability.command}[command].params:
        flag = max(parameter.opts, key=len)
        if flag not in RANGES:
            continue
        least, most = RANGES[flag]
        unit = "B" if parameter.type is types.BYTES else ""
        for value in filter(math.isfinite, (least, most)):
            parameter.type.convert(f"{value}{unit}", parameter, None)
        for value in (
            -1 if least == 0 else 0,
            math.nextafter(most, math.inf) if most < 1e3 else most + 1,
        ):
            if math.isfinite(value):
                with pytest.raises(click.UsageError):
                    parameter.type.convert(f"{value}{unit}", parameter, None)


def test_a_command_of_a_run_file_that_is_a_shells_is_refused() -> None:
    run = open_run(Settings(), "max-batch; touch /tmp/pwned")
    with pytest.raises(RunFileError, match=r"request\.command: .* is not known"):
        loaded(run)


def test_a_run_that_check_made_is_repeated_by_check() -> None:
    for request in (("fits", Settings()), ("profile", Settings(processes=0))):
        how = repetition(report_of(open_run(request[1], request[0])))
        assert how.command == ""
        assert "rnnprof check" in how.remark


@pytest.mark.parametrize(
    ("settings", "grid", "why"),
    [
        (Settings(confirm=3), Grid((4,), (8,)), "rnnprof profile has no option for confirm"),
        (Settings(confirm_steps=20_000), Grid((4,), (8,)), "--confirm-steps does not take 20000"),
        (Settings(), Grid((), (8,)), "--batch does not take 0 values"),
    ],
)
def test_what_no_option_takes_is_told(settings: Settings, grid: Grid, why: str) -> None:
    run = run_of(Workload(), a_request(grid, settings))
    how = repetition(report_of(run))
    assert how == Repetition("", f"No command line repeats this run: {why}.")
    assert f"No command line repeats this run: {why.split()[0]}" in summary(report_of(run)).replace(
        "\\", ""
    )


def test_only_the_last_of_different_invocations_is_repeated() -> None:
    first = a_request(Grid((4,), (8,)))
    again = replace(first, request="r2")
    other = replace(first, request="r3", grid=Grid((8,), (8,)))
    heads = [
        repetition(report_of(Run(HEADER, requests))).remark
        for requests in ((first,), (first, again), (first, other))
    ]
    assert heads == [TO_REPEAT, TO_REPEAT, TO_REPEAT_THE_LAST]


def test_text_that_would_be_read_as_a_number_keeps_its_kind() -> None:
    args = {"a": "1", "b": 1, "c": "None", "d": None, "e": "x", "f": "", "g": "\n"}
    workload = workload_of(FactorySource("train.py:make", args))
    text = repeat_command(report_of(run_of(workload, a_request(Grid((1,), (2,))))))
    context, _ = parsed(command_words(text))
    assert args_of(context.params) == args
