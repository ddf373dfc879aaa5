"""The table of options: each command's options come from it, and so do variables and keys."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click
import pytest

from rnnprof.cli import options as opt
from rnnprof.cli.command import TableOption
from rnnprof.cli.config import read_config
from rnnprof.cli.main import COMMANDS
from rnnprof.cli.table import (
    CONFIGURED,
    GROUPS,
    TABLE,
    Entry,
    budget_entries,
    by_key,
    configured_keys,
    entries_of,
)
from rnnprof.errors import BadInputError
from rnnprof.redaction import NO_SECRETS
from rnnprof.runfile.records import Settings
from rnnprof.runfile.study import Study
from rnnprof.workload import Workload

EACH = [(command, entry) for command in CONFIGURED for entry in entries_of(command)]


def command_of(name: str) -> click.Command:
    found = import_module(COMMANDS[name][0]).command
    assert isinstance(found, click.Command)
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_every_command_stems_from_the_table(name: str) -> None:
    options = [each for each in command_of(name).params if isinstance(each, click.Option)]
    assert all(isinstance(each, TableOption) for each in options)
    assert [each.entry for each in options if isinstance(each, TableOption)] == entries_of(name)
    assert len(by_key(entries_of(name))) == len(options), "a key stands for one option"


def test_every_entry_is_of_a_command_and_a_group() -> None:
    assert {name for entry in TABLE for name in entry.commands} == set(COMMANDS)
    assert {entry.group for entry in TABLE} <= set(GROUPS)


@pytest.mark.parametrize(("command", "entry"), EACH)
def test_every_option_that_may_be_configured_has_its_variables_and_its_key(
    command: str, entry: Entry, tmp_path: Path
) -> None:
    own = entry.key.replace("-", "_").upper()
    prefix = command.replace("-", "_").upper()
    [option] = [each for each in command_of(command).params if each.name == entry.name]
    assert option.envvar == [f"RNNPROF_{prefix}_{own}", f"RNNPROF_{own}"]
    value = {"flag": "true", "count": "1", "list": '["a=1"]', "words": '["a"]'}.get(
        entry.shape, '"1"'
    )
    (tmp_path / "rnnprof.toml").write_text(f"{entry.key} = {value}\n")
    assert list(read_config(tmp_path, entries_of(command))) == [entry.name]


def test_a_variable_names_one_option() -> None:
    """The variable of a command's option is no other option's general one."""
    general = {entry.variables(command)[1] for command, entry in EACH}
    assert not general & {entry.variables(command)[0] for command, entry in EACH}


@pytest.mark.parametrize("key", [key for key in sorted(configured_keys()) if "-" in key])
def test_keys_have_hyphens_and_others_name_the_nearest(key: str, tmp_path: Path) -> None:
    (tmp_path / "rnnprof.toml").write_text(f"{key.replace('-', '_')} = 1\n")
    entries = [entry for entry in TABLE if entry.key in configured_keys()]
    with pytest.raises(BadInputError, match=f"is not an option; did you mean '{key}'"):
        read_config(tmp_path, entries)


def test_what_a_budget_may_state_is_an_option_of_what_measures_it() -> None:
    assert set(budget_entries("workload")) <= set(by_key(entries_of("profile")))
    measured = by_key([*entries_of("profile"), *entries_of("max-batch")])
    assert set(budget_entries("measure")) <= set(measured)
    assert {entry.budget for entry in TABLE} == {None, "workload", "measure"}


def test_defaults_are_those_of_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("profile", "max-batch"):
        context = command_of(name).make_context(name, [])
        assert opt.workload_from(context, context.params) == (Workload(), None, NO_SECRETS, None)
        # of the commands only profile leaves passes out by default; a record that lacks it does not
        assert opt.settings_from(context.params) == Settings(fast=name == "profile")
    study = command_of("trainability").make_context("trainability", []).params
    trainability = import_module("rnnprof.cli.trainability")
    assert trainability._study(study, Workload()) == Study()
