"""One order for a device, and one for each GPU that is simulated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from rnnprof.cli.max_batch import command as max_batch
from rnnprof.cli.orders import models_of, orders_of, run_paths
from rnnprof.cli.profile import command as profile
from rnnprof.device.selection import simulated_places
from rnnprof.errors import BadInputError
from rnnprof.runfile.points import Grid
from rnnprof.simulate.description import describe_all

OWN = "memory=1GiB,sms=20,capability=8.6,t4,memory=2GiB,sms=20,capability=8.6"


@pytest.fixture
def asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[click.Context, dict[str, Any]]]:
    monkeypatch.chdir(tmp_path)

    def of(command: click.Command, *arguments: str) -> tuple[click.Context, dict[str, Any]]:
        context = command.make_context("command", list(arguments))
        return context, context.params

    return of


def names(text: str, output: str | None, suffix: str = "") -> list[str]:
    places = simulated_places(text)
    return [str(path) for _, path in run_paths(output and Path(output), "w", places, suffix)]


def test_each_gpu_has_a_run_file_with_its_model() -> None:
    assert names("t4,h100", "a/run.jsonl") == ["a/run-t4.jsonl", "a/run-h100.jsonl"]
    assert names("t4", "a/run.jsonl") == ["a/run.jsonl"]
    assert names("t4,h100", None, "-check") == [
        "rnnprof-runs/w-simulated-t4-check.jsonl", "rnnprof-runs/w-simulated-h100-check.jsonl",
    ]  # fmt: skip


def test_gpus_of_the_users_own_do_not_share_a_run_file() -> None:
    assert models_of(describe_all(OWN)) == ["custom", "t4", "custom-2"]
    assert names(OWN, "run.jsonl") == ["run-custom.jsonl", "run-t4.jsonl", "run-custom-2.jsonl"]
    assert len(set(names(OWN, None))) == 3


def test_a_run_file_is_named_as_one() -> None:
    with pytest.raises(BadInputError, match=r"NAME\.jsonl"):
        names("t4,h100", "run.txt")


def test_the_same_order_at_each_place(asked) -> None:
    context, options = asked(
        profile, "--simulate", "t4,h100", "--batch", "8,16", "--time-steps", "4", "-o", "run.jsonl"
    )
    first, second = orders_of(context, options)
    assert [order.gpu and order.gpu.model for order in (first, second)] == ["t4", "h100"]
    assert (first.grid, first.command, first.device) == (Grid((8, 16), (4,)), "profile", "cuda")
    assert first.settings == second.settings
    assert first.settings.processes == 0  # nothing is timed


def test_the_largest_batch_has_no_batches_to_run(asked) -> None:
    context, options = asked(max_batch, "--device", "cpu", "--time-steps", "4", "--overwrite")
    [order] = orders_of(context, options, "max-batch", "-max-batch")
    assert (order.grid, order.command, order.gpu) == (Grid((), (4,)), "max-batch", None)
    assert order.path.name == "lstm-256-512-1-cpu-max-batch.jsonl"
    assert order.overwrite
