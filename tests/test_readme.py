"""README.md and README.zh-CN.md name the same commands."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def commands(text: str) -> set[str]:
    """The commands of rnnprof that a text's code names."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    code = "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", text)])
    return set(re.findall(r"\brnnprof ([a-z][a-z-]+)", code))


def test_both_readmes_have_the_same_commands() -> None:
    english = (ROOT / "README.md").read_text(encoding="utf-8")
    chinese = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
    table = "\n".join(re.findall(r"^\| (`rnnprof .*?`) \|", chinese, re.MULTILINE))
    assert commands(table) == commands(english)
    assert commands(chinese) == commands(table)
