"""A short variant of the campaign, and faults that it must find."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment

from campaigns import hostile_text
from campaigns.campaign import in_process
from campaigns.hostile_text import (
    CANARY,
    TEXTS,
    Tally,
    by_class,
    cycle_of,
    every_text_at_once,
    hostile_file,
    loads,
    mixed,
    outputs_of,
)
from rnnprof.report.html import page as page_module

SLOW = pytest.mark.slow
MANY = [pytest.param(name, marks=[SLOW] if name == "long" else []) for name in TEXTS]


@pytest.mark.parametrize("is_factory", [False, True])
@pytest.mark.parametrize("name", MANY)
def test_the_files_load(name: str, is_factory: bool) -> None:
    """Else the campaign looks at a refusal."""
    assert loads(hostile_file(cycle_of(TEXTS[name]), is_factory=is_factory))


def test_every_text_at_once_in_every_output() -> None:
    tally = Tally()
    tally.look_at("all", outputs_of(every_text_at_once(most=1000)))
    assert tally.failures == []
    assert tally.tried.total() > 20


@pytest.mark.slow
def test_the_whole_campaign() -> None:
    tally = Tally()
    by_class(tally)
    mixed(tally, 20)
    tally.look_at("report", outputs_of(every_text_at_once(), is_report=True))
    assert tally.failures == []
    assert set(TEXTS) < set(tally.tried)


# planted faults


def found(name: str, *classes: str, only: slice = slice(None)) -> set[str]:
    """The outputs in which the campaign finds a fault, with the texts of some classes."""
    tally = Tally()
    texts = [text for each in classes for text in TEXTS[each]][only]
    tally.look_at(name, outputs_of(hostile_file(cycle_of(texts), is_factory=True)))
    return {fault.partition(":")[0] for fault in tally.failures}


def patched(monkeypatch: pytest.MonkeyPatch, name: str, value: Any) -> None:
    """Replace a function of the neutraliser wherever it was imported."""
    import sys

    for module in [m for key, m in sys.modules.items() if key.startswith("rnnprof.")]:
        if hasattr(module, name):
            monkeypatch.setattr(module, name, value)


def as_it_is(text: str, *_: object, **__: object) -> str:
    return text


@pytest.mark.parametrize(
    "texts",
    [
        "escape sequences",
        *(pytest.param(name, marks=SLOW) for name in ("NUL and controls", "direction", "long")),
        pytest.param("invisible", marks=SLOW),
    ],
)
def test_text_that_is_not_neutralised_is_found(texts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found("sound", texts) == set()
    patched(monkeypatch, "printable", as_it_is)
    assert {"table", "page"} <= found("planted", texts)


@pytest.mark.slow
def test_half_of_a_surrogate_pair_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    patched(monkeypatch, "json_text", lambda value: json.dumps(value, indent=2))
    assert {"advise --json", "export json", "compare --json"} <= found("planted", "surrogates")


@pytest.mark.parametrize("texts", ["HTML", pytest.param("XML", marks=SLOW)])
def test_markup_that_is_not_escaped_is_found(texts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page_module._template.cache_clear()
    made = page_module.Environment
    monkeypatch.setattr(
        page_module, "Environment", lambda **options: made(**{**options, "autoescape": False})
    )
    try:
        assert "page" in found("planted", texts)
    finally:
        page_module._template.cache_clear()
    assert made is Environment


@pytest.mark.parametrize("texts", ["Markdown", pytest.param("HTML", marks=SLOW)])
def test_markdown_that_is_not_escaped_is_found(texts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    patched(monkeypatch, "escaped", as_it_is)
    assert "summary" in found("planted", texts)


@pytest.mark.slow
def test_a_fence_that_is_too_short_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    patched(monkeypatch, "shell_word", as_it_is)
    patched(monkeypatch, "fenced", lambda command: f"```sh\n{command}\n```")
    assert "summary" in found("planted", "backticks", only=slice(-1, None))


@pytest.mark.slow
def test_a_formula_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    patched(monkeypatch, "_csv_text", as_it_is)
    assert found("planted", "CSV formulas") == {"export csv"}


@pytest.mark.slow
def test_a_command_of_a_job_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    patched(monkeypatch, "for_terminal", as_it_is)
    assert "table" in found("planted", "CI commands")


@pytest.mark.slow
def test_an_error_of_ours_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> str:
        raise KeyError("text")

    monkeypatch.setattr("rnnprof.report.text.comparison.comparison_in_words", breaks)
    assert found("planted", "formats") == {"compare"}


# streams that have few characters


@pytest.mark.parametrize(
    "encoding", ["ascii", *(pytest.param(name, marks=SLOW) for name in ("latin-1", "cp1252"))]
)
def test_a_stream_without_a_character_has_its_number(encoding: str) -> None:
    content = every_text_at_once(most=1000)
    with tempfile.TemporaryDirectory() as name, chdir(name):
        Path("run.jsonl").write_bytes(content)
        Path("base.jsonl").write_bytes(hostile_text.GOLDEN.read_bytes())
        Path("b.toml").write_text(hostile_text.BUDGET)
        for title, kind, arguments in hostile_text.COMMANDS:
            code, out, err = in_process(arguments, encoding)
            assert code in hostile_text.GOOD_CODES, (title, err)
            err.decode(encoding)
            if kind != "csv":  # a file, which is UTF-8
                out.decode(encoding)
        for refused in (["advise", "深\udc80.jsonl"], ["深"], ["advise", "--深", "x"]):
            code, _, err = in_process(refused, encoding)
            assert code == 2
            assert err


# the page in a browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in BROWSERS if (path := shutil.which(name))), None)


@pytest.fixture
def browser() -> Iterator[Any]:
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with driver.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


class Heard:
    """What a page did besides being shown."""

    def __init__(self, tab: Any) -> None:
        self.events: list[str] = []
        tab.on("request", lambda request: self.events.append(request.url))
        tab.on("dialog", lambda dialog: (self.events.append(dialog.message), dialog.dismiss()))
        tab.on("console", lambda message: self.events.append(message.text))
        tab.on("pageerror", lambda error: self.events.append(str(error)))


def shown(browser: Any, path: Path) -> tuple[list[str], tuple[str, str], int]:
    """What the page did, its title and body's id, and its elements that may run or load."""
    tab = browser.new_page()
    heard = Heard(tab)
    tab.goto(path.as_uri())
    tab.wait_for_timeout(300)
    for each in tab.locator("th button").all()[:3]:
        each.click()
    risky = "iframe,object,embed,form,base,foreignObject,[onload],[onerror],[onfocus]"
    count = tab.evaluate(f"document.querySelectorAll('{risky}').length")
    state = (tab.title(), tab.evaluate("document.body.id"))
    tab.close()
    events = [each for each in heard.events if each != path.as_uri()]
    return [each for each in events if not each.startswith("data:")], state, count


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_no_text_does_anything_in_a_browser(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, texts in (("all", None), ("html", "HTML")):
        content = every_text_at_once() if texts is None else hostile_file(
            cycle_of(TEXTS[texts]), is_factory=True
        )  # fmt: skip
        Path("run.jsonl").write_bytes(content)
        assert in_process(["report", "run.jsonl", "-o", name])[0] == 0
        events, state, count = shown(browser, tmp_path / name / "report.html")
        assert events == []
        assert CANARY not in state
        assert count == 0


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_a_script_that_runs_is_seen(browser: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<body><img src=x onerror=\"document.title='{CANARY}'\"></body>")
    events, state, count = shown(browser, page)
    assert CANARY in state
    assert events != []
    assert count == 1
