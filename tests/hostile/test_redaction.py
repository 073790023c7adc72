"""Secrets are found in every encoding, what only looks like one is left, and a run tells none."""

from __future__ import annotations

import html
import json
import time
from base64 import encodebytes
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from tests.hostile.canaries import ENCODINGS, ENVIRONMENT, KEY, OTHER, leaks, problems_of_echo

from megaagent import events as ev
from megaagent.errors import ConfigurationError
from megaagent.events import Fact, ToolCall
from megaagent.launch import start
from megaagent.redaction import MARK, Secrets, passwords_in
from megaagent.settings import Settings, changed


@pytest.mark.parametrize("secret", [KEY, OTHER])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_secret_is_hidden_in_every_encoding(secret: str, encoding: str):
    told = f"before {ENCODINGS[encoding](secret).decode('latin-1')} after"
    assert leaks(told.encode("latin-1")), "the judge sees it"
    hidden = Secrets.of(ENVIRONMENT).hide(told)
    assert leaks(hidden.encode()) == []
    assert MARK in hidden and hidden.startswith("before ") and hidden.endswith(" after")


ECHOES: dict[str, Callable[[str], str]] = {
    "JSON within JSON": lambda secret: json.dumps(json.dumps(secret)),
    "a Python string": repr,
    "HTML": html.escape,
    "a URL's path": quote,
    "a form": quote_plus,
    "base64 in lines": lambda secret: encodebytes(b"Authorization: Bearer " * 2 + secret.encode()).decode(),
    "a hex dump": lambda secret: secret.encode().hex(" "),
    "a list of bytes": lambda secret: str(list(secret.encode())),
    "a buffer in JSON": lambda secret: json.dumps({"data": list(secret.encode())}, separators=(",", ":")),
    "octal escapes": lambda secret: "".join(f"\\{byte:03o}" for byte in secret.encode()),
    "hexadecimal entities": lambda secret: "".join(f"&#x{byte:x};" for byte in secret.encode()),
    "a fingerprint": lambda secret: secret.encode().hex(":").upper(),
}


@pytest.mark.parametrize("secret", ["sk-Zq7Wx9Kd82mPq4LwTT", "ab+/cd==ef12GH34ij&<>'", 'pa"ss\\word-1234567'])
@pytest.mark.parametrize("echo", ECHOES)
def test_a_secret_is_hidden_as_programs_and_servers_quote_it(secret: str, echo: str):
    told = ECHOES[echo](secret)
    assert MARK in Secrets(secret).hide(f"before {told} after")


@pytest.mark.parametrize("word", ["k", "EMPTY", "ollama", "not-needed", "no-key-required", "test"])
def test_the_dummy_key_of_a_local_server_is_an_ordinary_word(word: str):
    secrets = Secrets.of({"OPENAI_API_KEY": word})
    assert not secrets
    assert secrets.hide(f"use {word} as the key") == f"use {word} as the key"


def test_which_variables_hold_secrets():
    environ = {"X_TOKEN": "abc123def456ghi", "KEY_FILE": "abc123def456ghj", "MY_KEY": "/home/me/id_rsa-123456"}
    secrets = Secrets.of(environ | {"HTTPS_PROXY": "http://me:p4ssw0rd-of-mine@proxy:8080"})
    assert secrets.hide("abc123def456ghi p4ssw0rd-of-mine") == f"{MARK} {MARK}"
    assert secrets.hide("abc123def456ghj /home/me/id_rsa-123456") == "abc123def456ghj /home/me/id_rsa-123456"
    assert "abc123" not in repr(secrets)
    assert passwords_in("https://u:s3cret@h/v1?api-version=1&api-key=xyz") == ["s3cret", "xyz"]
    assert passwords_in("https://ghp_0123456789@github.com/x") == ["ghp_0123456789"]


@pytest.mark.parametrize("name", ["OPENAI_API_KEY_2", "TOKENS", "GITHUB_PAT", "DB_PWD", "SMTP_PASS"])
def test_keys_are_known_by_other_names_too(name: str):
    assert Secrets.of({name: "abc123def456ghi"}).hide("it is abc123def456ghi") == f"it is {MARK}"
    assert not Secrets.of({"PWD": "/home/me/a1", "COMPASS": "abc123def456ghi", "MONKEY_NAME": "abc123def456ghi"})
    assert Secrets.of({"SENTRY_DSN": "https://abc123def456ghi@sentry.example/5"})


def test_in_a_fact_only_what_holds_a_secret_is_made_anew():
    secrets = Secrets(KEY)
    plain = Fact("boss", 1, ev.ModelAnswered("boss#1", calls=(ToolCall("c", "talk", '{"to": "x"}'),)))
    assert secrets.hide_in(plain) is plain
    telling = Fact("boss", 1, ev.ModelAnswered("boss#1", calls=(ToolCall("c", "talk", f'{{"to": "{KEY}"}}'),)))
    hidden = secrets.hide_in(telling)
    assert isinstance(hidden.event, ev.ModelAnswered)
    assert hidden.event.calls[0].arguments == f'{{"to": "{MARK}"}}'


def test_looking_for_secrets_is_cheap():
    text = "an ordinary sentence of a file, with some 123 numbers\n" * 20_000
    secrets = Secrets(*(f"{number:032x}" for number in range(5)))
    began = time.process_time()
    assert secrets.hide(text) is text
    assert time.process_time() - began < 5.0  # a quadratic search would take minutes


def test_a_run_tells_no_secret(tmp_path: Path):
    assert list(problems_of_echo(tmp_path)) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model.base_url": "http://me:mine@127.0.0.1:1/v1"}, "holds a password"),
        ({"model.base_url": "http://127.0.0.1:1/v1?api_key=mine"}, "holds a password"),
        ({"checks": [f"curl -H {KEY}"]}, "hold a secret"),
    ],
)
async def test_settings_that_hold_a_secret_are_refused(changes: dict[str, object], words: str, tmp_path: Path):
    settings = changed(Settings(), {"model.name": "openai:x", "model.price": "1:2"} | changes, "a test")
    with pytest.raises(ConfigurationError, match=words):
        async with start("Do it.", settings=settings, environ=ENVIRONMENT, runs=tmp_path / "runs"):
            pass
    assert not (tmp_path / "runs").exists()
