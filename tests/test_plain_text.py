"""The one neutraliser: what it lets through, and in which form."""

from __future__ import annotations

import json
import subprocess
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnprof.plain_text import (
    MARKS_AT_MOST,
    clip,
    columns_of,
    escaped,
    fenced,
    for_terminal,
    json_text,
    one_line,
    paragraph,
    printable,
    shell_word,
)

HIDDEN = (
    "\x00\x07\x1b\x7f\x80\x9b\x9f\u200e\u200f\u061c\u202a\u202e\u2066\u2069\u200b\u200d\u2060\ufeff"
    "\u2028\u2029\u00ad\U000e0041\U000e007f\ue000\U0010fffd\uffff\u0378\ud800\udfff\u00a0\u3000"
    "\u3164\u115f\u1160\uffa0\u034f\u180e\u2800\U000e0100"
)
SHOWN = "aé深עब️\N{COMBINING ACUTE ACCENT}\N{SNOWMAN}\N{PILE OF POO}"


@pytest.mark.parametrize("char", HIDDEN, ids=lambda char: f"{ord(char):x}")
def test_what_shows_nothing_or_does_something_is_a_question_mark(char: str) -> None:
    assert printable(f"a{char}b") == "a?b"


def test_letters_of_any_script_stay() -> None:
    assert printable(SHOWN) == SHOWN


@given(st.text())
def test_neutral_text_stays_as_it_is(text: str) -> None:
    once = printable(text)
    assert printable(once) == once
    assert len(once) == len(text)
    once.encode()


def test_a_pile_of_marks_is_cut() -> None:
    found = printable("a" + "\u0301" * 10_000 + "b")
    assert found.count("\u0301") == MARKS_AT_MOST
    assert found.endswith("?b")


@given(st.text(max_size=60), st.integers(5, 40))
def test_a_clipped_text_is_as_wide_as_said(text: str, columns: int) -> None:
    found = clip(text, columns)
    assert columns_of(found) <= columns
    if columns_of(one_line(text)) <= columns:
        assert found == one_line(text)


def test_a_mark_takes_no_column() -> None:
    accented = unicodedata.normalize("NFD", "é" * 10)
    assert clip(accented, 10) == accented


@given(st.text())
def test_a_terminal_gets_lines_of_shown_characters(text: str) -> None:
    found = for_terminal(text)
    assert all(char.isprintable() or char == "\n" for char in found)
    assert not any(line.strip().startswith("::") for line in found.split("\n"))


@pytest.mark.parametrize("text", ["::error::x", "a\n  ::stop-commands::t", "a ##[add-mask]b"])
def test_a_line_is_no_command_of_a_job(text: str) -> None:
    assert "::stop" not in for_terminal(text)
    assert "##[" not in for_terminal(text)


def test_only_our_own_colours_stay() -> None:
    assert for_terminal("\x1b[31mred\x1b[0m\x1b[2J", colour=True) == "\x1b[31mred\x1b[0m?[2J"
    assert "\x1b" not in for_terminal("\x1b[31mred")


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False,
              allow_infinity=False), st.text(st.characters(codec=None))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)  # fmt: skip


@given(JSON)
def test_json_is_read_back_as_it_was(value: object) -> None:
    text = json_text(value)
    assert text.isascii()
    text.encode()
    read = json.loads(text)
    assert read == _without_halves(value)
    json.dumps(read, ensure_ascii=False).encode()


def _without_halves(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_without_halves(key): _without_halves(item) for key, item in value.items()}
    return [_without_halves(item) for item in value] if isinstance(value, list) else value


def test_json_of_halves_pairs_and_backslashes() -> None:
    text = json_text({"\ud800": "\ud83d\ude00\udc80", "b": "\\ud800", "c": "\x7f##[x"}, None)
    assert text == (
        '{"\\ufffd": "\\ud83d\\ude00\\ufffd", "b": "\\\\ud800", "c": "\\u007f#\\u0023[x"}'
    )


def test_no_float_that_json_lacks() -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_text(float("nan"))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("train.py:make", "train.py:make"), ("a b", "'a b'"), ("", "''"), ("it's", "'it'\"'\"'s'"),
        ("é", "'é'"), ("a\nb", "$'a\\012b'"), ("\udcff'\\", "$'\\377\\047\\134'"),
        ("##[x", "$'\\043\\043[x'"),
    ],
)  # fmt: skip
def test_a_word_of_a_shell(text: str, word: str) -> None:
    assert shell_word(text) == word
    said = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert said.stdout == text.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_what_no_word_holds_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="it has"):
        shell_word(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("- a", "\\- a"), ("1. a", "1\\. a"), ("23) a", "23\\) a"), ("+1", "\\+1"),
        ("===", "\\==="), ("# a", "\\# a"), ("a - 1. b", "a - 1. b"),
    ],
)  # fmt: skip
def test_a_paragraph_begins_nothing_else(text: str, shown: str) -> None:
    assert paragraph(text) == shown


@pytest.mark.parametrize("text", ["https://a.example", "www.a.example", "[a](b)", "<b>", "![a]"])
def test_text_is_no_link(text: str) -> None:
    assert escaped(text) != text


def test_a_fence_is_longer_than_what_stands_within() -> None:
    assert fenced("a ```` b") == "`````sh\na ```` b\n`````"
