"""The action and the example workflow: valid, true to the command's options, safe in a shell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from rnnprof.cli.main import COMMANDS, cli

yaml = pytest.importorskip("ruamel.yaml", reason="check-jsonschema, of the extra dev, is missing")

ROOT = Path(__file__).parents[2]
ACTION, WORKFLOW = ROOT / "action.yml", ROOT / "docs" / "ci" / "gpu-gate.yml"
SIMULATED = ROOT / "docs" / "ci" / "simulated-gate.yml"
BASH = shutil.which("bash")

RECORDER = """\
#!/bin/sh
printf '%s\\n' "$@" >> "$RECORD"
printf 'END\\n' >> "$RECORD"
case "$*" in *import*) exit "${IMPORTABLE:-0}" ;; *check*) exit "${CODE:-0}" ;; esac
"""
"""Stands in for Python: writes down what it was called with."""


def load(path):
    return yaml.YAML(typ="safe", pure=True).load(path.read_text())


@pytest.fixture(scope="module")
def action():
    return load(ACTION)


@pytest.fixture(scope="module")
def judge():
    """The workflow's step that uses the action."""
    [step] = [
        step
        for step in load(WORKFLOW)["jobs"]["gate"]["steps"]
        if step.get("uses", "").split("@")[0].endswith("/rnnprof")
    ]
    return step


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (ACTION, "github-actions"),
        (WORKFLOW, "github-workflows"),
        (SIMULATED, "github-workflows"),
    ],
)
def test_files_are_valid_by_the_published_schemas(path, kind):
    pytest.importorskip("check_jsonschema", reason="check-jsonschema, of the extra dev, is missing")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{kind}"]
    done = subprocess.run([*command, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_action_is_complete(action):
    time_steps = action["runs"]["steps"]
    assert action["runs"]["using"] == "composite"
    assert all(
        step["shell"] == "bash" for step in time_steps
    )  # a composite step must name its shell
    assert set(action["inputs"]) == {"budget", "run", "baseline", "strict", "python", "args"}
    for name, output in action["outputs"].items():
        assert output["value"] == "${{ steps.check.outputs.%s }}" % name  # noqa: UP031
    assert "check" in [step.get("id") for step in time_steps]


@pytest.mark.parametrize("path", [ACTION, WORKFLOW])
def test_no_expression_stands_in_a_script(path):
    """What is put into a script's text is run; a variable is not."""
    document = load(path)
    time_steps = document["runs"]["steps"] if path == ACTION else document["jobs"]["gate"]["steps"]
    scripts = [step["run"] for step in time_steps if "run" in step]
    assert scripts
    assert not any("${{" in script for script in scripts)


def test_every_input_is_used_and_each_used_is_an_input(action):
    used = re.findall(r"\$\{\{ inputs\.([\w-]+) \}\}", ACTION.read_text())
    assert set(used) == set(action["inputs"])


def test_the_workflow_gives_inputs_that_the_action_has(action, judge):
    assert set(judge["with"]) <= set(action["inputs"])
    outputs = re.findall(r"steps\.gate\.outputs\.([\w-]+)", WORKFLOW.read_text())
    assert outputs
    assert set(outputs) <= set(action["outputs"])


def test_the_workflow_may_do_no_more_than_it_needs():
    document = load(WORKFLOW)
    assert document["permissions"] == {"contents": "read", "actions": "read"}
    assert "pull_request_target" not in document["on"]
    [checkout] = [
        step
        for step in document["jobs"]["gate"]["steps"]
        if step.get("uses", "").startswith("actions/checkout@")
    ]
    assert checkout["with"]["persist-credentials"] is False


def test_the_baseline_that_is_kept_is_the_one_that_is_fetched(judge):
    text = WORKFLOW.read_text()
    assert "--name rnnprof-baseline" in text
    assert "name: rnnprof-baseline" in text
    arguments = judge["with"]["args"].splitlines()
    run = arguments[arguments.index("-o") + 1]
    assert f"path: {run}\n" in text
    assert f"'baseline/{run}'" in judge["with"]["baseline"]


# options


def test_every_option_exists_in_the_command(action, judge):
    assert "check" in COMMANDS, "the command is not listed"
    command = cli.get_command(click.Context(cli), "check")
    known = {name for option in command.params for name in option.opts}
    script = action["runs"]["steps"][-1]["run"]
    used = set(re.findall(r"[( ](--?[a-z][\w-]*)(?=[ )])", script)) - {"-P", "-m", "-n", "-r"}
    given = [line.split("=")[0] for line in judge["with"]["args"].splitlines()]
    described = re.findall(r"(?<![\w-])--[a-z][\w-]+", str(action["inputs"]))
    used |= {option for option in given if option.startswith("-")} | set(described)
    assert {"--github", "--budget", "--baseline", "--strict", "--junit", "-o"} <= used
    assert used <= known


# the scripts, run

needs_bash = pytest.mark.skipif(BASH is None, reason="there is no bash here")


@pytest.fixture
def run(action, tmp_path):
    """Runs a step of the action as GitHub does, and returns its exit code and what it called."""
    recorder = tmp_path / "bin with space" / "python"
    recorder.parent.mkdir()
    recorder.write_text(RECORDER)
    recorder.chmod(0o755)

    def run_step(index, code=0, importable=0, **inputs):
        step, record = action["runs"]["steps"][index], tmp_path / "record"
        values = {name: each.get("default", "") for name, each in action["inputs"].items()} | inputs
        values["python"] = str(recorder)
        variables = {
            name: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda match: values[match[1]], text)
            for name, text in step["env"].items()
        }
        script = tmp_path / "step.sh"
        script.write_text(step["run"])
        done = subprocess.run(
            [BASH, "--noprofile", "--norc", "-eo", "pipefail", script],
            env={"PATH": os.environ["PATH"], "RECORD": str(record), "CODE": str(code),
                 "IMPORTABLE": str(importable), "GITHUB_ACTION_PATH": "/where it is",
                 **variables},
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        calls = record.read_text().split("END\n")[:-1] if record.exists() else []
        return done, [call.splitlines() for call in calls]

    return run_step


HEAD = ["-P", "-m", "rnnprof", "check", "--github"]


@needs_bash
@pytest.mark.parametrize(
    ("inputs", "options"),
    [
        ({}, []),
        ({"budget": "b.toml"}, ["--budget", "b.toml"]),
        ({"strict": "true"}, ["--strict"]),
        ({"strict": ""}, []),
        ({"args": "--junit=a b.xml\n\n-o\nx.jsonl\n"}, ["--junit=a b.xml", "-o", "x.jsonl"]),
        ({"args": "-v"}, ["-v"]),
        ({"run": "-r.jsonl", "baseline": "m.jsonl"}, ["--baseline", "m.jsonl", "--", "-r.jsonl"]),
        ({"budget": "$(touch hit) `touch hit`;*"}, ["--budget", "$(touch hit) `touch hit`;*"]),
        ({"args": "--junit=$(touch hit)\n*"}, ["--junit=$(touch hit)", "*"]),
    ],
)
def test_inputs_become_options(run, tmp_path, inputs, options):
    done, calls = run(1, **inputs)
    assert done.returncode == 0, done.stderr
    assert calls == [[*HEAD, *options]]
    assert not (tmp_path / "hit").exists()


@needs_bash
@pytest.mark.parametrize("code", [1, 2, 3, 5])
def test_the_step_ends_as_the_command_does(run, code):
    done, _ = run(1, code=code)
    assert done.returncode == code


@needs_bash
def test_strict_is_true_or_false(run):
    done, calls = run(1, strict="yes")
    assert (done.returncode, calls) == (2, [])
    assert "strict: 'yes' is neither true nor false" in done.stderr


@needs_bash
@pytest.mark.parametrize(("importable", "installs"), [(0, False), (1, True)])
def test_it_is_installed_where_it_is_missing(run, importable, installs):
    done, calls = run(0, importable=importable)
    assert done.returncode == 0, done.stderr
    assert calls[0] == ["-P", "-c", "import rnnprof.cli.main"]
    install = ["-m", "pip", "install", "--disable-pip-version-check", "/where it is"]
    assert calls[1:] == ([install] if installs else [])
