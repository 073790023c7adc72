"""What cannot work on a cluster: each has one clear error, before anything is spent."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from megaagent.clock import WallClock
from megaagent.errors import ConfigurationError, SandboxError
from megaagent.placement import order_for
from megaagent.runtimes.ray import RayRuntime
from megaagent.runtimes.ray_cluster import address_of, require_here, require_token
from megaagent.runtimes.ray_wire import Asked, Order, Versions
from megaagent.settings import Settings, changed
from megaagent.workspace import Workspace

from .conftest import KEY, NO_PROGRAMS, SMALL, STAMP, TOKEN, Nodes, a_world, python, question, ray_or_skip, started

pytestmark = pytest.mark.xdist_group("ray")
REAL = "openai:gpt-4.1"  # at its own address, for which a key is needed; it is not asked


async def refusal(nodes: Nodes, environ: dict[str, str | None] | None = None, **changes: Any) -> str:
    """The error with which a run on the cluster does not begin."""
    chosen = {name: value for name, value in (nodes.environ | (environ or {})).items() if value is not None}
    with pytest.raises(ConfigurationError) as raised:
        async with a_world(chosen, nodes.ray(**changes)):
            pass
    text = str(raised.value)
    assert "Traceback" not in text and len(text) < 1000
    return text


# -- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "nonsense",
        "host:",
        ":6379",
        "host:port",
        "host:99999",
        "ray://host:10001",
        "a..b:80",
        "\udcff:80",
        "a" * 64 + ":80",
    ],
)
def test_what_is_no_address_is_told(address: str):
    with pytest.raises(ConfigurationError, match=r"--ray-address .*HOST:PORT"):
        address_of(address, {})


def test_the_run_must_begin_on_a_node_of_the_cluster():
    require_here("10.0.0.1:6379", {"203.0.113.9", "127.0.0.1"})
    with pytest.raises(ConfigurationError, match=r"no node of that cluster \(203\.0\.113\.9\).*ray start --address"):
        require_here("10.0.0.1:6379", {"203.0.113.9"})


def test_where_the_cluster_is():
    assert address_of("10.0.0.1:6379", {"RAY_ADDRESS": "other:1"}) == "10.0.0.1:6379"
    assert address_of(None, {"RAY_ADDRESS": "10.0.0.1:6379"}) == "10.0.0.1:6379"
    assert address_of(None, {}) == "local"


def test_the_command_line_says_so_and_leaves_nothing_behind(tmp_path: Path):
    ray_or_skip()
    command = ["run", "--scenario", "gobang", "--ray-address", "127.0.0.1:1", "--runs", str(tmp_path / "runs")]
    done = subprocess.run(
        [sys.executable, "-c", "from megaagent.cli import main; main()", *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "--ray-address 127.0.0.1:1: nothing answers there" in done.stderr and "ray start --head" in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    assert not (tmp_path / "runs").exists()


async def test_something_else_answers_there(cluster: Nodes):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    text = await refusal(cluster, **{"runtime.address": f"127.0.0.1:{port}"})
    server.close()
    await server.wait_closed()
    assert f"127.0.0.1:{port}: what answers there is no Ray cluster" in text


def test_without_ray_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in ("ray", "ray._version"):
        monkeypatch.setitem(sys.modules, name, None)
    workspace = Workspace.create(tmp_path / "workspace.git", stamp=STAMP, durable=False)
    settings = changed(Settings(), {"runtime.kind": "ray", "model.name": "sim:gobang"}, "the test")
    with pytest.raises(ConfigurationError, match=r"pip install 'megaagent\[ray\]'"):
        order_for("run", settings, workspace, {})
    workspace.close()


# -- who may come in, and who is of another version -------------------------------------------------------------------


async def test_without_the_token_of_the_cluster(cluster: Nodes):
    text = await refusal(cluster, {"RAY_AUTH_TOKEN": TOKEN.replace("token", "wrong")})
    assert "RAY_AUTH_TOKEN" in text
    assert TOKEN not in text


def test_a_token_that_is_to_be_shown_and_is_not_there(tmp_path: Path):
    kept = tmp_path / ".ray" / "auth_token"
    token = {"RAY_AUTH_MODE": "token"}
    with pytest.raises(ConfigurationError, match=r"no token in .*auth_token \(No such file or directory\): copy the"):
        require_token(token, tmp_path)
    kept.parent.mkdir()
    kept.write_text("\n")
    with pytest.raises(ConfigurationError, match=r"no token in .*auth_token \(it is empty\)"):
        require_token(token, tmp_path)
    with pytest.raises(ConfigurationError, match="no token in /absent"):
        require_token({**token, "RAY_AUTH_TOKEN_PATH": "/absent"}, tmp_path)
    require_token({}, tmp_path)
    require_token({**token, "RAY_AUTH_TOKEN": TOKEN}, tmp_path)
    kept.write_text(TOKEN)
    require_token(token, tmp_path)


def test_the_command_line_says_that_there_is_no_token(tmp_path: Path):
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", "from megaagent.cli import main; main()", "cluster", "--ray-address", "127.0.0.1:1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**environ, "HOME": str(tmp_path), "RAY_AUTH_MODE": "token"},
    )
    assert done.returncode == 2
    assert done.stderr.startswith("megaagent: error: RAY_AUTH_MODE is token, and there is no token in")
    assert done.stderr.count("\n") == 1


async def test_another_version_of_ray_or_python(cluster: Nodes):
    text = await refusal(await pretending(cluster, ray="2.40.0"))
    assert "2.40.0" in text and "install the same Ray and the same Python" in text
    text = await refusal(await pretending(cluster, python="3.9.1"))
    assert "3.9.1" in text and "install the same Ray and the same Python" in text
    await pretending(cluster)


async def pretending(cluster: Nodes, **versions: str) -> Nodes:
    """The cluster says that it was begun with other versions; without any, the true ones again."""
    await asyncio.to_thread(cluster.say, pretend=versions)
    return cluster


@pytest.fixture
def order(tmp_path: Path, cluster: Nodes) -> Iterator[Order]:
    workspace = Workspace.create(tmp_path / "workspace.git", stamp=STAMP, durable=False)
    settings = changed(Settings(), cluster.ray(**{"model.name": "sim:gobang"} | SMALL), "the test")
    yield order_for("run", settings, workspace, cluster.environ)
    workspace.close()


async def test_a_worker_of_another_version_than_the_head(cluster: Nodes, order: Order):
    strange = replace(order, versions=Versions("0.0.1", "3.9", "2.40.0"))
    with pytest.raises(ConfigurationError) as raised:
        await RayRuntime.open(strange, lambda name, limits: None, cluster.environ, WallClock())
    text = str(raised.value)
    assert "no node of the cluster can ask the models: 127.0.0.1: it has MegaAgent" in text
    assert "and not 0.0.1" in text and "and not 3.9" in text and "and not 2.40.0" in text
    assert "install the same on all nodes" in text


def test_versions_are_compared_one_by_one():
    here = Versions("1", "3.11", "2.60.0")
    assert here.differences(here) == ""
    assert here.differences(Versions("1", "3.12", "2.61.0")) == "Python 3.11 and not 3.12, Ray 2.60.0 and not 2.61.0"


# -- nodes that lack something ----------------------------------------------------------------------------------------


async def test_nodes_that_lack_something(cluster: Nodes):
    await asyncio.to_thread(
        cluster.add,
        "third",
        cpus=1,
        resources={"third": 2},
        environ={"OPENAI_API_KEY": None, "OPENAI_BASE_URL": None, "PATH": "/nowhere"},
    )
    own = {"model.name": REAL, "model.base_url": None}
    # No node has a key: nothing begins.
    text = await refusal(cluster, **own, **NO_PROGRAMS, **{"runtime.models_on": "third"})
    assert "127.0.0.1: openai:gpt-4.1 needs a key: set OPENAI_API_KEY" in text
    # One has none: it is not used, and that is said. The head needs none.
    headless = {name: value for name, value in cluster.environ.items() if name != "OPENAI_API_KEY"}
    async with a_world(headless, cluster.ray(**own, **NO_PROGRAMS)) as world:
        assert any("models are not asked from 127.0.0.1: openai:gpt-4.1 needs a key" in note for note in world.notes)
    # Its environment would have the model asked elsewhere than the head's says.
    text = await refusal(cluster, {"OPENAI_BASE_URL": "https://:secret-of-mine-123@example.com/v1"}, **own, **SMALL)
    assert "example.com" in text and "api.openai.com" in text and "secret-of-mine" not in text
    # No walls of the level that is asked for hold there: its programs are refused (P11), and nothing weaker is taken.
    walls = {"runtime.programs_on": "third", "runtime.models_on": "one", "sandbox.level": "bubblewrap"}
    async with a_world(cluster.environ, cluster.ray(**walls)) as world:
        assert world.runtime.level == "refused"
        assert any("programs are refused on 127.0.0.1" in note and "bubblewrap" in note for note in world.notes)
        with pytest.raises(SandboxError, match="bubblewrap"):
            await started(world, *python("print(1)"))
        assert (await world.runtime.complete("openai:echo", question("models are asked"))).text
    await asyncio.to_thread(cluster.say, kill="third")


async def test_ready_made_models_cannot_be_sent(cluster: Nodes):
    from megaagent.choice import open_models
    from megaagent.testing import Script  # any object will do

    settings = changed(Settings(), cluster.ray(**{"model.name": "sim:gobang"}), "the test")
    with pytest.raises(ConfigurationError, match="ready-made objects cannot be sent to workers"):
        open_models(settings, {}, {"sim:gobang": Script})  # type: ignore[dict-item]


# -- secrets ----------------------------------------------------------------------------------------------------------


async def test_no_key_is_in_any_file_of_ray_or_in_an_order(cluster: Nodes, order: Order):
    from megaagent.runtimes.ray_wire import encode

    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(a_world(cluster.environ, cluster.ray(**SMALL)))
        await world.runtime.complete("openai:echo", question("a word"))
        assert world.provider.by["a word"] == KEY
    assert KEY.encode() not in encode(order)
    assert all(not isinstance(each, Asked) or KEY not in repr(each) for each in order.models)
    found = [path for path in cluster.folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert found == []
