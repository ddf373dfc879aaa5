"""Secrets among a script's arguments: what looks like one, and text without them.

Names and values are judged as words, so that ``tokens=512`` and ``tokenizer=bpe`` are no secrets.
Imports nothing of rnnprof.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

STRUCK: Final = "***"
"""Stands for a secret."""

SHORTEST: Final = 4
"""A shorter value is not struck from text: every "1" of it would go.  It is still not kept."""

ANYWHERE: Final = 8
"""A value of at least this length is struck also within a longer word."""

LEAST_CUT: Final = 6
"""Characters of a secret that are struck where a text was cut within it."""

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

_SECRET_WORDS: Final = frozenset({
    "secret", "secrets", "password", "passwd", "passphrase", "pwd", "apikey", "accesskey",
    "privatekey", "secretkey", "credential", "credentials", "auth", "authorization", "bearer",
    "cookie", "cookies",
})  # fmt: skip
_NUMBERS_TOO: Final = frozenset({"secret", "password", "passwd", "passphrase", "pwd"})
"""Names whose value is a secret also if it is a number."""

_OF_KEY: Final = frozenset({
    "access", "account", "api", "auth", "aws", "azure", "comet", "encryption", "hf", "license",
    "master", "neptune", "openai", "private", "secret", "service", "session", "signing", "ssh",
    "wandb",
})  # fmt: skip
"""``X_key`` is a secret."""

_OF_TOKEN: Final = frozenset({
    "bos", "blank", "class", "cls", "end", "eos", "first", "go", "image", "last", "mask", "max",
    "min", "next", "num", "pad", "per", "prev", "sep", "sos", "special", "start", "stop", "unk",
    "unknown", "word",
})  # fmt: skip
"""``X_token`` is a token of a vocabulary."""

_SECRET_VALUE: Final = re.compile(
    r"\bsk-[\w-]{12,}|\bgh[opsur]_\w{16,}|\bgithub_pat_\w{16,}|\bhf_\w{12,}|\bglpat-[\w-]{12,}"
    r"|\bxox[abeoprs]-[\w-]{8,}|\b(AKIA|ASIA)[0-9A-Z]{12,}|\bAIza[\w-]{30,}|\bpypi-[\w-]{16,}"
    r"|\bnpm_\w{30,}|\beyJ[\w-]{4,}\.[\w-]{4,}\.[\w-]*|://[^/\s:@]*:[^/\s@]+@"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----|\b(Bearer|Basic) [\w+/.=~-]{8,}"
)


def is_secret(name: str, value: Any) -> bool:
    """Whether an argument looks like a secret, by its name or its value."""
    if isinstance(value, Mapping):
        return any(is_secret(f"{name}_{key}", each) for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return any(is_secret(name, each) for each in value)
    if value is None or isinstance(value, (bool, float)):
        return False
    words = [word.lower() for word in _WORD.findall(name)]
    if isinstance(value, int):
        return bool(words) and words[-1] in _NUMBERS_TOO
    return _names_secret(words) or _SECRET_VALUE.search(str(value)) is not None


def _names_secret(words: Sequence[str]) -> bool:
    if _SECRET_WORDS.intersection(words):
        return True
    if any(pair[1] == "key" and pair[0] in _OF_KEY for pair in itertools.pairwise(words)):
        return True
    return words[-1:] == ["token"] and not _OF_TOKEN.intersection(words[:-1])


def split_words(words: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A command line with ``***`` for its secrets, and the secrets.

    ``--token=x``, ``--token x`` and ``token=x`` are recognised by the name, other words by the
    value.
    """
    shown, secrets = [], []
    awaited = ""
    for word in words:
        name, equals, value = word.partition("=")
        if awaited and not word.startswith("--"):
            shown.append(STRUCK)
            secrets.append(word)
            awaited = ""
            continue
        awaited = ""
        if equals and is_secret(name, value):
            shown.append(f"{name}={STRUCK}")
            secrets.append(value)
        elif is_secret("", word):
            shown.append(STRUCK)
            secrets.append(word)
        else:
            shown.append(word)
            awaited = word if word.startswith("-") and not equals and is_secret(word, "x") else ""
    return tuple(shown), tuple(secrets)


@dataclass(frozen=True)
class Secrets:
    """What a command was given and no record keeps.

    Attributes:
        args: keyword arguments of the factory, by name.
        argv: all words of the script's own command line; None if it has no secret.
        texts: further secrets: of the script's words.
    """

    args: Mapping[str, Any] = field(default_factory=dict, repr=False)
    argv: tuple[str, ...] | None = field(default=None, repr=False)
    texts: tuple[str, ...] = field(default=(), repr=False)

    def strike(self, text: str) -> str:
        """The text with ``***`` for each secret, also where it is quoted or encoded."""
        if self._pattern is None:
            return text
        return self._without_cut(self._pattern.sub(STRUCK, text))

    def struck(self, value: Any) -> Any:
        """The same for every text in a value of JSON."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.strike(value)
        if isinstance(value, Mapping):
            return {self.struck(key): self.struck(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.struck(each) for each in value]
        return value

    @cached_property
    def _values(self) -> tuple[str, ...]:
        found = {*self.texts, *(text for value in self.args.values() for text in _leaves(value))}
        found |= {each[1] for text in found for each in [_in_address(text)] if each}
        lines = {line for text in found for line in text.splitlines() if len(line) >= ANYWHERE}
        return tuple(text for text in {*found, *lines} if len(text) >= SHORTEST)

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        forms = {form for value in self._values for form in _forms(value)}
        if not forms:
            return None
        return re.compile("|".join(map(_found, sorted(forms, key=len, reverse=True))))

    def _without_cut(self, text: str) -> str:
        """Without the part of a secret at either end, where the text was cut."""
        for value in self._values:
            for length in range(len(value) - 1, LEAST_CUT - 1, -1):
                if text.endswith(value[:length]):
                    text = text[:-length] + STRUCK
                if text.startswith(value[-length:]):
                    text = STRUCK + text[length:]
        return text


NO_SECRETS: Final = Secrets()


def _leaves(value: Any) -> Iterator[str]:
    """Every text and number in a value of JSON."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _leaves(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _leaves(each)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _in_address(text: str) -> re.Match[str] | None:
    """The password of an address, which libraries print alone."""
    return re.search(r"://[^/\s:@]*:([^/\s@]+)@", text)


def _forms(value: str) -> Iterable[str]:
    """A secret as it is, and as programs quote and encode it."""
    yield value
    yield repr(value)[1:-1]
    yield json.dumps(value)[1:-1]
    yield urllib.parse.quote(value)
    yield urllib.parse.quote(value, safe="")
    yield urllib.parse.quote_plus(value)
    if len(value) >= ANYWHERE:
        raw = value.encode(errors="surrogateescape")
        yield raw.hex()
        yield from _in_base64(raw)


def _in_base64(raw: bytes) -> Iterator[str]:
    """The characters that do not depend on what stands around it, at each alignment."""
    for before in range(3):
        rest = (before + len(raw)) % 3
        text = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        stable = text[(0, 2, 3)[before] : len(text) - (1 if rest else 0)]
        yield stable
        yield stable.replace("+", "-").replace("/", "_")


def _found(form: str) -> str:
    """The pattern of a form; a short one stands alone."""
    if len(form) >= ANYWHERE:
        return re.escape(form)
    return rf"(?<![A-Za-z0-9]){re.escape(form)}(?![A-Za-z0-9])"


def command_shown(words: Iterable[str]) -> list[str]:
    """A command of rnnprof with ``***`` for the secrets among its factory's arguments."""
    shown: list[str] = []
    flag = ""
    for word in words:
        name, equals, value = word.partition("=")
        if flag:
            shown.append(_shown_value(flag, word))
            flag = ""
        elif equals and name in _VALUED:
            shown.append(f"{name}={_shown_value(name, value)}")
        else:
            shown.append(word)
            flag = word if word in _VALUED else ""
    return shown


_VALUED: Final = frozenset({"--factory-arg", "--factory-argv"})


def _shown_value(flag: str, text: str) -> str:
    if flag == "--factory-arg":
        name, _, value = text.partition("=")
        return f"{name}={STRUCK}" if is_secret(name, _read(value)) else text
    return " ".join(split_words(text.split())[0]) if split_words(text.split())[1] else text


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
