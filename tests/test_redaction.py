"""What looks like a secret, and text without secrets."""

from __future__ import annotations

import base64
import json
import urllib.parse

import pytest

from rnnprof.redaction import STRUCK, Secrets, command_shown, is_secret, split_words

VALUE = "s3cr3t/value+1"
TOKEN = "hf_" + "aBcDeFgHiJkLmNoPqRsTuV"


@pytest.mark.parametrize(
    "name",
    ["token", "hf_token", "apiToken", "password", "db-password", "PWD", "api_key", "apikey",
     "openaiApiKey", "access_key", "private_key", "credentials", "auth", "bearer", "cookie",
     "session_key", "client_secret", "AWS_SECRET_ACCESS_KEY", "hftoken", "db_pass", "token2",
     "dbpassword", "wandbkey", "jwt"],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name, "x1")


@pytest.mark.parametrize(
    ("name", "value"),
    [("tokens", 512), ("tokenizer", "bpe"), ("key_size", 64), ("max_tokens", 8), ("num_keys", 3),
     ("pad_token", "<pad>"), ("eos_token", "</s>"), ("token_type", "char"), ("author", "x"),
     ("authentic", "y"), ("keys", "a,b"), ("cookies_per_box", 3), ("auth", True),
     ("password_length", 12), ("secret_dim", "64"), ("token_path", "a.bin"), ("is_auth", "y"),
     ("secretary", "x"), ("pass", True), ("passes", 3),
     ("hidden", 128), ("data", "https://host/data"), ("key", "speed"), ("lr", 1e-3)],
)  # fmt: skip
def test_what_is_no_secret(name: str, value: object) -> None:
    assert not is_secret(name, value)


@pytest.mark.parametrize(
    "value",
    [TOKEN, "sk-" + "a1" * 12, "ghp_" + "a1" * 12, "github_pat_" + "a1" * 12, "glpat-" + "a1" * 8,
     "xoxb-" + "1a" * 8, "AKIA" + "A1" * 8, "eyJhbGci.eyJzdWI.c2ln", "redis://user:pw12@host/0",
     "-----BEGIN RSA PRIVATE KEY-----\nabc", {"deep": [{"password": "abcd"}]},
     {"token": {"value": "abcd"}}, "X-Api-Key: abcd", '{"token": "abcd"}', "/get?a=1&token=abcd"],
)  # fmt: skip
def test_values_of_secrets(value: object) -> None:
    assert is_secret("data", value)


def test_words_of_a_command_line() -> None:
    words = ("--token=abc", "--api-key", "k1", "--data", "d", "password=xyz", TOKEN, "--epochs=3")
    shown, hidden = split_words(words)
    assert shown == (
        "--token=***", "--api-key", "***", "--data", "d", "password=***", "***", "--epochs=3",
    )  # fmt: skip
    assert hidden == ("abc", "k1", "xyz", TOKEN)


@pytest.mark.parametrize(
    "form",
    [
        lambda text: text,
        lambda text: urllib.parse.quote(text, safe=""),
        urllib.parse.quote_plus,
        lambda text: json.dumps({"a": text}),
        repr,
        lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
        lambda text: text.encode().hex(),
        lambda text: f"Bearer {text}!",
    ],
)
def test_no_form_of_a_secret_is_left(form) -> None:
    secrets = Secrets({"token": VALUE})
    struck = secrets.strike(f"before {form(VALUE)} after")
    assert STRUCK in struck
    assert struck.startswith("before ")
    assert struck.endswith(" after")
    for each in (VALUE, urllib.parse.quote(VALUE, safe=""), VALUE.encode().hex()):
        assert each not in struck
    assert base64.b64encode(VALUE.encode()).decode()[:12] not in struck


def test_a_secret_that_was_cut_is_struck() -> None:
    secrets = Secrets({"token": TOKEN})
    assert secrets.strike(f"it failed with {TOKEN[:12]}") == "it failed with ***"
    assert secrets.strike(f"{TOKEN[-9:]} was refused") == "*** was refused"


def test_short_values_do_not_destroy_text() -> None:
    assert Secrets({"pwd": "1"}).strike("1 of 11") == "1 of 11"
    assert Secrets({"pwd": "test"}).strike("the latest test") == "the latest ***"


def test_all_texts_of_an_answer_are_struck() -> None:
    secrets = Secrets({"a": {"password": VALUE}}, texts=("postgres://u:hunter22@db/x",))
    found = secrets.struck({"warnings": [f"w {VALUE}"], "n": 3, "by": {"x": "hunter22 refused"}})
    assert found == {"warnings": ["w ***"], "n": 3, "by": {"x": "*** refused"}}
    assert VALUE not in repr(secrets)


@pytest.mark.parametrize(("name", "value"), [("password", 1234), ("api_key", 12), ("pwd", 1.5),
                                             ("token", 1234567890)])  # fmt: skip
def test_numbers_that_are_secrets(name: str, value: float) -> None:
    assert is_secret(name, value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("--secrets a b --epochs 3", "--secrets *** *** --epochs 3"),
        ("--header 'X-Api-Key: abcd' x", "--header *** x"),
        ("--cfg '{\"token\": \"abcd\"}'", "--cfg ***"),
        ("--token-dim 12 --token 7 --password 7", "--token-dim 12 --token 7 --password ***"),
        ("--no-auth data --auth-type basic", "--no-auth data --auth-type basic"),
        ("--token 'a b' --name 'c d'", "--token *** --name 'c d'"),
        ("--name 'c  d'", "--name 'c  d'"),
        ("--token 'unbalanced", "--token ***"),
    ],
)  # fmt: skip
def test_words_are_judged_as_the_script_gets_them(text: str, shown: str) -> None:
    assert command_shown(["check", f"--factory-argv={text}"]) == [
        "check",
        f"--factory-argv={shown}",
    ]


def test_words_of_several_options_are_one_command_line() -> None:
    words = ["--factory-argv", "--token", "--factory-argv", "'a b' x", "--factory-argv"]
    assert command_shown(words) == [
        "--factory-argv", "--token", "--factory-argv", "*** x", "--factory-argv",
    ]  # fmt: skip


def test_a_command_to_resume_has_no_secret() -> None:
    words = ["profile", "--factory-arg", "token=abc", "--factory-arg=password=p q",
             "--factory-argv", "--api-key k1 --data d", "--factory-arg", "width=3"]  # fmt: skip
    assert command_shown(words) == [
        "profile", "--factory-arg", "token=***", "--factory-arg=password=***",
        "--factory-argv", "--api-key *** --data d", "--factory-arg", "width=3",
    ]  # fmt: skip


def test_a_command_with_a_script_has_no_secret() -> None:
    words = ["max-batch", "--env", "HF_TOKEN=abc", "--env=BS={batch}", "--set", "cfg.API_KEY=k1",
             "--set=LR=0.1", "--", "python", "train.py", "--password", "p q", "--env", "A=b",
             "--batch", "{batch}", "--", "--api-key=k2"]  # fmt: skip
    assert command_shown(words) == [
        "max-batch", "--env", "HF_TOKEN=***", "--env=BS={batch}", "--set", "cfg.API_KEY=***",
        "--set=LR=0.1", "--", "python", "train.py", "--password", "***", "--env", "A=b",
        "--batch", "{batch}", "--", "--api-key=***",
    ]  # fmt: skip
