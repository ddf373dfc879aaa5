"""Secrets among a script's arguments: what looks like one, and text without them.

Names and values are judged as words, so that ``tokens=512`` and ``tokenizer=bpe`` are no secrets.
Imports nothing of rnnprof.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import shlex
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

_MANY: Final = frozenset({"secrets", "passwords", "credentials", "cookies"})
"""Names that all words up to the next option belong to."""

_SECRET_WORDS: Final = _MANY | {
    "secret", "password", "passw", "passwd", "passphrase", "passcode", "pwd", "apikey",
    "accesskey", "privatekey", "secretkey", "credential", "auth", "authorization", "bearer",
    "cookie", "jwt",
}  # fmt: skip
_SECRET_ENDS: Final = frozenset({"pass", "pw"})
"""Names that are secret as the last word."""

_NUMBERS_TOO: Final = frozenset({
    "secret", "password", "passwd", "passphrase", "passcode", "pwd", "pass", "pw",
})  # fmt: skip
"""Names whose value is a secret also if it is a number."""

_LONG_NUMBER: Final = 8
"""A number of at least this many digits is judged as text: no size of a model has so many."""

_ABOUT: Final = frozenset({
    "count", "dim", "dir", "file", "folder", "kind", "len", "length", "mode", "path", "scheme",
    "size", "type",
})  # fmt: skip
"""``password_X`` says something about it, or where it is."""

_WHETHER: Final = frozenset({"disable", "enable", "has", "is", "no", "skip", "use", "with"})
"""``--X-auth`` is a flag."""

_OF_KEY: Final = frozenset({
    "access", "account", "anthropic", "api", "auth", "aws", "azure", "comet", "encryption", "hf",
    "license", "master", "neptune", "openai", "private", "sas", "secret", "service", "session",
    "signing", "ssh", "storage", "wandb",
})  # fmt: skip
"""``X_key`` is a secret, also as one word."""

_OF_ONE_WORD: Final = frozenset({
    *(f"{each}key" for each in _OF_KEY),
    *(f"{each}token" for each in ("access", "api", "auth", "bearer", "csrf", "git", "github",
                                  "hf", "hub", "refresh", "secret", "session", "wandb")),
    *(f"{each}{word}" for each in ("db", "my", "root", "user") for word in _NUMBERS_TOO),
})  # fmt: skip

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


_NAMED: Final = re.compile(r"""([\w.-]+)["']?\s*[:=]\s*["']?([^\s"',;&}]+)""")
"""A name and its value inside a word: of a header, a query, a line of YAML, a table of JSON."""


def is_secret(name: str, value: Any) -> bool:
    """Whether an argument looks like a secret, by its name or its value."""
    words = _words_of(name)
    if isinstance(value, Mapping):
        is_named = _names_secret(words) and any(_leaves(value))
        return is_named or any(is_secret(f"{name}_{key}", each) for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return any(is_secret(name, each) for each in value)
    if value is None or isinstance(value, bool):
        return False
    if isinstance(value, (int, float)) and len(str(value)) < _LONG_NUMBER:
        return _names_secret(words) and (words[-1] in _NUMBERS_TOO or _has_key(words))
    return _names_secret(words) or _tells_secret(str(value))


def _tells_secret(text: str) -> bool:
    """Whether a text looks like a secret, or has a name and a secret in it."""
    if _SECRET_VALUE.search(text) is not None:
        return True
    return any(is_secret(each[1], _read(each[2])) for each in _NAMED.finditer(text))


def _words_of(name: str) -> list[str]:
    """The words of a name, without numbers at its end: ``token2`` is a token."""
    words = [word.lower() for word in _WORD.findall(name)]
    while words and words[-1].isdecimal():
        words.pop()
    return words


def _names_secret(words: Sequence[str]) -> bool:
    if not words or words[-1] in _ABOUT or words[0] in _WHETHER:
        return False
    if words[-1] in _SECRET_ENDS or (_SECRET_WORDS | _OF_ONE_WORD).intersection(words):
        return True
    return _has_key(words) or (words[-1] == "token" and not _OF_TOKEN.intersection(words[:-1]))


def _has_key(words: Sequence[str]) -> bool:
    return any(pair[1] == "key" and pair[0] in _OF_KEY for pair in itertools.pairwise(words))


def split_words(words: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A command line with ``***`` for its secrets, and the secrets.

    ``--token=x``, ``--token x`` and ``token=x`` are recognised by the name, other words by what
    is in them.
    """
    shown, secrets = [], []
    awaited = ""
    for word in words:
        name, equals, value = word.partition("=")
        if awaited and not word.startswith("--"):
            is_struck = is_secret(awaited, _read(word))
            shown.append(STRUCK if is_struck else word)
            secrets += [word] if is_struck else []
            awaited = awaited if _MANY.intersection(_words_of(awaited)) else ""
            continue
        awaited = ""
        if equals and is_secret(name, _read(value)):
            shown.append(f"{name}={STRUCK}")
            secrets.append(value)
        elif is_secret("", word):
            shown.append(STRUCK)
            secrets.append(word)
        else:
            shown.append(word)
            awaited = word if word.startswith("-") and not equals and _may_await(word) else ""
    return tuple(shown), tuple(secrets)


def _may_await(flag: str) -> bool:
    return _names_secret(_words_of(flag))


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
    """A command of rnnprof with ``***`` for the secrets of its factory or its script."""
    words = list(words)
    at = words.index("--") if "--" in words else len(words)
    options = list(_options(words[:at]))
    texts = iter(_argv_shown([text for flag, _, text in options if flag == "--factory-argv"]))
    shown: list[str] = []
    for flag, opening, text in options:
        if flag == "--factory-argv":
            text = next(texts)
        elif flag:
            name, _, value = text.partition("=")
            text = f"{name}={STRUCK}" if is_secret(name, _read(value)) else text
        shown += [*opening[:-1], opening[-1] + text]
    return [*shown, *words[at : at + 1], *split_words(words[at + 1 :])[0]]


def _options(words: Iterable[str]) -> Iterator[tuple[str, list[str], str]]:
    """Each word: the option that it belongs to, what stands before its text, and the text."""
    flag = ""
    for word in words:
        name, equals, value = word.partition("=")
        if flag:
            yield flag, [flag, ""], word
            flag = ""
        elif word in _VALUED:
            flag = word
        elif equals and name in _VALUED:
            yield name, [f"{name}="], value
        else:
            yield "", [""], word
    if flag:
        yield "", [""], flag


_VALUED: Final = frozenset({"--factory-arg", "--factory-argv", "--env", "--set"})


def _argv_shown(texts: Sequence[str]) -> Iterator[str]:
    """The texts of ``--factory-argv``, judged together as the script gets their words."""
    parts = [_split(text) for text in texts]
    shown = iter(split_words([word for part in parts for word in part])[0])
    for text, part in zip(texts, parts, strict=True):
        found = list(itertools.islice(shown, len(part)))
        yield text if found == part else " ".join(map(_quoted, found))


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # the command refuses it
        return text.split()


def _quoted(word: str) -> str:
    return word if STRUCK in word else shlex.quote(word)


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
