"""The Python API: the engine of the command line, called from Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rnnprof
from rnnprof.engine.order import Order
from rnnprof.errors import BadInputError, InconclusiveError, RunFileError
from rnnprof.gate.reasons import MachineShort
from rnnprof.gate.verdicts import Finding, Gate, Verdict
from rnnprof.maxbatch.certify import frontier_of
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.points import Grid, Outcome, Point, Role
from rnnprof.runfile.records import Header, Run, Settings
from rnnprof.workload import ScriptSource, Workload, workload_of_script

pytestmark = pytest.mark.usefixtures("one_template")


def test_profile_returns_what_load_reads(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run = rnnprof.profile(
        Workload(cell="gru", input_size=8, hidden_size=8),
        batch=[2],
        time_steps="3,5",
        settings=Settings(memory_limit=256 << 20, point_seconds=0.05),
        output=path,
    )
    assert run == rnnprof.load(path)
    grid = [o for o in run.observations if o.role is not Role.PROBE]
    assert {o.point for o in grid} == {Point(2, 3), Point(2, 5)}
    assert {o.outcome for o in run.observations} == {Outcome.MEASURED}


def test_max_batch_returns_the_frontier_of_its_run(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    frontier = rnnprof.max_batch(
        Workload(cell="gru", input_size=8, hidden_size=8),
        time_steps=[3, 5],
        settings=Settings(memory_limit=256 << 20, at_most=2),
        output=path,
    )
    assert [(c.time_steps, c.status, c.batch) for c in frontier] == [
        (3, EdgeStatus.CAPPED, 2),
        (5, EdgeStatus.CAPPED, 2),
    ]
    assert frontier == frontier_of(rnnprof.load(path))


FACTORY = """
import torch


def make(batch, steps, device, each=1 << 20):
    return lambda phase: torch.empty(batch * steps * each, dtype=torch.uint8)[:1].sum()
"""


def factory(folder: Path) -> str:
    (folder / "train.py").write_text(FACTORY)
    return f"{folder / 'train.py'}:make"


def test_what_fits_is_found_with_its_figures(tmp_path: Path) -> None:
    found = rnnprof.assert_fits(
        factory(tmp_path),
        batch=4,
        time_steps=4,
        headroom=0.5,
        memory_limit="64MiB",
        confirm_steps=2,
    )
    assert found.verdict is Verdict.PASS
    assert found.measured == pytest.approx(16 << 20, rel=0.05)
    assert found.limit == 32 << 20


@pytest.mark.parametrize(("headroom", "said"), [(0.0, "does not fit: .*memory"), (0.9, "is left")])
def test_what_does_not_fit_fails_the_test(tmp_path: Path, headroom: float, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        rnnprof.assert_fits(
            factory(tmp_path), batch=16 if headroom == 0 else 2, time_steps=8, headroom=headroom,
            memory_limit="64MiB", output=tmp_path / "kept.jsonl",
        )  # fmt: skip
    assert rnnprof.load(tmp_path / "kept.jsonl").is_finished


def test_a_function_is_found_in_its_file() -> None:
    """What it returns is no step: only a worker that has called it can know."""
    import faulty

    with pytest.raises(BadInputError, match="returned None"):
        rnnprof.assert_fits(faulty.returns_none, batch=2, time_steps=2, memory_limit="64MiB")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"factory": lambda batch, time_steps, device: None}, "at the top of a"),
        ({"factory": "none.py:make"}, "no file none.py"),
        ({"factory": "train.py:make", "workload": Workload()}, "not both"),
        ({"factory_args": {"each": 1}}, "needs a factory"),
        ({"memory_limit": "much"}, "memory_limit='much'"),
    ],
)
def test_a_factory_that_no_process_can_find_is_refused(
    arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInputError, match=said):
        rnnprof.assert_fits(batch=2, time_steps=2, **arguments)


# ---- scripts; no worker is started


@pytest.fixture
def orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Order]:
    """What would be measured."""
    (tmp_path / "train.py").write_text("LAYERS = 2\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")  # then python is the Python of the tests
    found: list[Order] = []

    def note(first: Any, second: Any, *_: Any) -> Run:
        found.append(first if isinstance(first, Order) else second)
        return Run(Header(2, "0", Workload(), {}, None))

    monkeypatch.setattr("rnnprof.api.run_order", note)
    monkeypatch.setattr("rnnprof.api.measure", note)
    return found


SIZED = ("--batch-size", "{batch}", "--bptt", "{time_steps}")


@pytest.mark.parametrize(
    "command", ["python train.py " + " ".join(SIZED), ("python", "train.py", *SIZED)]
)
def test_a_script_is_profiled_as_on_the_command_line(
    command: str | tuple[str, ...], orders: list[Order], tmp_path: Path
) -> None:
    script = rnnprof.Script(
        command, env={"TOKEN": "abcd1234"}, set={"LAYERS": "{batch}"}, setup="s", prepare="p"
    )
    rnnprof.profile(script, batch=[2], time_steps="3,5", output="run.jsonl", device="cpu")
    rnnprof.max_batch(script, time_steps=[7], output="run.jsonl", device="cpu")
    source = ScriptSource(
        "train.py", False, SIZED, {"TOKEN": "***"}, {"LAYERS": "{batch}"}, "s", "p"
    )
    assert [order.workload for order in orders] == [workload_of_script(source)] * 2
    assert [order.grid for order in orders] == [Grid((2,), (3, 5)), Grid((), (7,))]
    for order in orders:
        assert order.script is not None
        assert order.script.target == str(tmp_path / "train.py")
        assert order.script.env == {"TOKEN": "abcd1234"}
        assert order.secrets.strike("abcd1234") == "***"


def test_a_script_that_is_given_no_t_has_that_of_its_layers(orders: list[Order]) -> None:
    script = rnnprof.Script("python train.py {batch}")
    rnnprof.max_batch(script, output="run.jsonl", device="cpu")
    assert orders[0].grid == Grid((), (1,))
    with pytest.raises(BadInputError, match=r"time_steps names 2 T, but .* or name one T"):
        rnnprof.max_batch(script, time_steps=[3, 5], output="run.jsonl", device="cpu")


def test_a_script_must_fit(orders: list[Order], monkeypatch: pytest.MonkeyPatch) -> None:
    passed = Gate((Finding("fits", "B=2 T=2", Verdict.PASS, MachineShort("")),))
    monkeypatch.setattr("rnnprof.api.gate", lambda *_: passed)
    rnnprof.assert_fits(rnnprof.Script("python train.py {batch}"), batch=2, time_steps=2)
    assert orders[0].workload.script == ScriptSource("train.py", False, ("{batch}",))
    assert orders[0].script is not None


@pytest.mark.parametrize(
    ("what", "more", "said"),
    [
        (rnnprof.Script("python train.py"), {}, "{batch} stands nowhere"),
        (rnnprof.Script("python 'train.py"), {}, "no closing quotation"),
        (rnnprof.Script(""), {}, "the script's command is empty"),
        (rnnprof.Script("python trian.py {batch}"), {}, "did you mean train.py"),
        (rnnprof.Script("python train.py {batch}"), {"workload": Workload()}, "not both"),
        (rnnprof.Script("python train.py {batch}"), {"factory_argv": ["x"]}, "has its own words"),
    ],
)
def test_a_script_that_cannot_run_is_refused(
    what: rnnprof.Script, more: dict[str, Any], said: str, orders: list[Order]
) -> None:
    with pytest.raises(BadInputError, match=said):
        rnnprof.assert_fits(what, batch=2, time_steps=2, **more)
    if not more:
        with pytest.raises(BadInputError, match=said):
            rnnprof.profile(what, output="run.jsonl", device="cpu")
    assert not orders


def test_what_is_no_workload_is_refused() -> None:
    with pytest.raises(BadInputError, match=r"give a rnnprof\.Script or a Workload"):
        rnnprof.profile("python train.py", output="run.jsonl", device="cpu")  # type: ignore[arg-type]


def test_what_cannot_be_told_is_no_failure_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    open_ = Gate((Finding("fits", "B=2 T=2", Verdict.INCONCLUSIVE, MachineShort("1 GiB is free")),))
    monkeypatch.setattr("rnnprof.api.measure", lambda *_: None)
    monkeypatch.setattr("rnnprof.api.gate", lambda *_: open_)
    with pytest.raises(InconclusiveError, match="B=2 T=2: other processes held"):
        rnnprof.assert_fits(batch=2, time_steps=2)


def test_an_error_is_an_exception_with_the_same_words(tmp_path: Path) -> None:
    with pytest.raises(RunFileError, match="no run file"):
        rnnprof.load(tmp_path / "none.jsonl")


def test_the_version_is_told_once() -> None:
    pyproject = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert f'version = "{rnnprof.__version__}"' in pyproject


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        rnnprof.no_such_name  # noqa: B018


def test_importing_rnnprof_imports_nothing_heavy() -> None:
    code = (
        "import sys, rnnprof; rnnprof.Training; "
        "sys.exit(bool({'torch', 'numpy', 'matplotlib', 'click'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
