"""Files that name MCP servers, in the shape that other clients have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from megaagent.errors import ConfigurationError
from megaagent.tools.mcp.config import read_servers

ENVIRON = {"HOME": "/home/ann", "GITHUB_TOKEN": "ghp_0123456789abcdef", "PORT": "8000"}


def written(folder: Path, servers: Any, name: str = "mcp.json") -> str:
    path = folder / name
    path.write_text(servers if isinstance(servers, str) else json.dumps({"mcpServers": servers}))
    return str(path)


def test_what_other_clients_take_is_taken(tmp_path: Path):
    file = written(
        tmp_path,
        {
            "files": {
                "command": "npx",
                "args": ["-y", "server-filesystem", "${HOME}/notes"],
                "icon": "x",
                "type": "stdio",
            },
            "github": {
                "type": "http",
                "url": "http://127.0.0.1:${PORT}/mcp",
                "headers": {"Authorization": "Bearer ${GITHUB_TOKEN}", "X-Mode": "${MODE:-fast}"},
            },
            "off": {"command": "${NOT_SET}", "disabled": True},
        },
    )
    files, github = read_servers([file], ENVIRON)
    assert (files.command, files.args) == ("npx", ("-y", "server-filesystem", "/home/ann/notes"))
    assert (github.url, github.headers["X-Mode"]) == ("http://127.0.0.1:8000/mcp", "fast")
    assert "ghp_0123456789abcdef" in set(github.secrets)
    assert "ghp_" not in repr(github)
    assert not set(files.secrets) - {""}


LOGIN = {"client_id": "robot", "client_secret": "${GITHUB_TOKEN}", "issuer": "https://login.example.com"}


def test_a_login_is_read_and_its_secret_is_one(tmp_path: Path):
    entry = {"url": "https://x/mcp", "type": "sse", "oauth": LOGIN | {"scope": "read", "method": "client_secret_post"}}
    [server] = read_servers([written(tmp_path, {"a": entry | {"resources": True}})], ENVIRON)
    assert server.oauth is not None and server.oauth.client_secret == "ghp_0123456789abcdef"
    assert (server.type, server.resources) == ("sse", True)
    assert "ghp_0123456789abcdef" in set(server.secrets)
    assert "ghp_" not in repr(server.oauth)


@pytest.mark.parametrize(
    ("servers", "words"),
    [
        ("{", "mcp.json: Input data was truncated"),
        ("{}", "it names no server"),
        ({}, "it names no server"),
        ({"two words": {"command": "x"}}, "server 'two words': a name is a letter"),
        ({"a": {}}, "server 'a': give a command to start it, or the url"),
        ({"a": {"command": "x", "url": "http://y"}}, "the url of one that runs, not both"),
        ({"a": {"command": ["x"]}}, r"server 'a': Expected `str \| null`, got `array` - at `\$.command`"),
        ({"a": {"command": "x", "args": "y"}}, r"at `\$.args`"),
        ({"a": {"command": "x", "env": {"K": 1}}}, r"at `\$.env"),
        ({"a": {"command": "x", "env": {"K": "${NOT_SET}"}}}, "server 'a', env: the environment has no NOT_SET"),
        ({"a": {"url": "http://x", "type": "ws"}}, "its type 'ws' does not fit; there are stdio, http and sse"),
        ({"a": {"command": "x", "type": "sse"}}, "its type 'sse' does not fit"),
        ({"a": {"url": "http://x", "oauth": {"client_id": "i"}}}, "missing required field `client_secret`"),
        ({"a": {"url": "http://x", "oauth": LOGIN | {"token": "x"}}}, "unknown field `token`"),
        ({"a": {"url": "http://x", "oauth": LOGIN | {"issuer": "x"}}}, "oauth: the issuer must begin with http"),
        ({"a": {"command": "x", "oauth": LOGIN}}, "oauth is for servers with a url"),
        ({"a": {"url": "ftp://x"}}, "must begin with http"),
        ({"a": {"command": "x", "type": "http"}}, "its type 'http' does not fit"),
        ({"a": {"command": "x", "seconds": 0}}, "seconds must be more than 0"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, servers: Any, words: str):
    with pytest.raises(ConfigurationError, match=words):
        read_servers([written(tmp_path, servers)], ENVIRON)


def test_a_missing_file_and_a_name_given_twice_are_told(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="No such file"):
        read_servers([str(tmp_path / "nothing.json")], {})
    files = [written(tmp_path, {"a": {"command": "x"}}, name) for name in ("1.json", "2.json")]
    with pytest.raises(ConfigurationError, match="'a' is given twice"):
        read_servers(files, {})


def test_keys_are_known_wherever_they_stand(tmp_path: Path):
    entry = {
        "command": "serve",
        "args": [
            "--port",
            "80",
            "--api-key",
            "key-in-arguments-1",
            "--token=key-in-arguments-2",
            "https://u:pw-in-url@h/",
        ],
        "env": {"DB_PASSWORD": "key-in-environment", "MODE": "ordinary-words-here"},
    }
    [server] = read_servers([written(tmp_path, {"a": entry})], {})
    assert {"key-in-arguments-1", "key-in-arguments-2", "pw-in-url", "key-in-environment"} <= set(server.secrets)
    assert not {"80", "ordinary-words-here"} & set(server.secrets)
