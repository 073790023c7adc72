"""A Ray cluster as it is now: connecting to it, its nodes, and what our workers there are doing.

The one module that knows Ray's own functions; some of them are not public, and are asked for here alone.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Collection, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

from megaagent.errors import ConfigurationError

NAMESPACE: Final = "megaagent"
STORE: Final = 256 << 20  # bytes of shared memory of a Ray that is begun here; only large files and prompts go there
PATIENCE: Final = 5.0  # seconds for the first word of a cluster
_SETTINGS: Final = b"\0\0\0\4\0\0\0\0\0"  # an empty frame of settings: the first that each side sends (RFC 9113, 3.4)
_ALIVE: Final = 0  # `GcsNodeInfo.ALIVE`
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _SETTINGS
LOOPBACK: Final = "127.0.0.1"


class Node(NamedTuple):
    """A machine of the cluster that is alive.

    Attributes:
        leaving: it is being drained: what runs there may end, nothing new should begin.
    """

    id: str
    host: str
    resources: Mapping[str, float]
    free: Mapping[str, float]
    leaving: bool

    def has(self, resource: str | None) -> bool:
        return self.resources.get(resource or "CPU", 0) >= 1


def address_of(address: str | None, environ: Mapping[str, str]) -> str:
    """Where the cluster is: HOST:PORT, or "local".

    Raises:
        ConfigurationError: it is no address of a cluster.
    """
    found = address or environ.get("RAY_ADDRESS") or "local"
    if found in ("local", "auto"):
        return found
    if found.startswith("ray://"):
        raise ConfigurationError(
            f"--ray-address {found}: Ray's client protocol is not used; begin the run on a node of the cluster and "
            "give HOST:PORT of its head, such as 10.0.0.1:6379"
        )
    host, colon, port = found.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536 or not _can_be_asked(host):
        raise ConfigurationError(
            f"--ray-address {found[:100]}: give HOST:PORT of the cluster's head, such as 10.0.0.1:6379"
        )
    return found


def _can_be_asked(host: str) -> bool:
    """Whether any host can have such a name."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


def connect(address: str) -> Any:
    """The module `ray`, connected; a Ray that is begun here ends with it.

    Args:
        address: as `address_of` gives it.

    Raises:
        ConfigurationError: Ray is not installed, nothing answers there, or it is of another version.
    """
    # Ray reads both when it is imported. The first: with it a Ray that is begun here listens for this machine only. The
    # second: whoever may speak to Ray may run anything.
    if address == "local":
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    if address == "local" or (Path.home() / ".ray" / "auth_token").exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    if address != "local" or "RAY_AUTH_TOKEN_PATH" in os.environ:  # otherwise one is made
        require_token(os.environ, Path.home())
    try:
        ray: Any = import_module("ray")
    except ImportError as error:
        raise ConfigurationError(f"Ray is needed for this: pip install 'megaagent[ray]' ({error})") from error
    if address == "auto":
        address = _nearby()
    if address != "local":
        _knock(address)
    begins: dict[str, Any] = {"include_dashboard": False, "object_store_memory": STORE} if address == "local" else {}
    try:
        if address == "local":
            _make_token()
        else:
            _greet(address)
        ray.init(
            address=address,
            namespace=NAMESPACE,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=False,
            **begins,
        )
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(explained(address, error)) from error
    return ray


def require_token(environ: Mapping[str, str], home: Path) -> None:
    """Ray itself would end this process with a dump of its stack.

    Raises:
        ConfigurationError: a token is to be shown, and there is none.
    """
    if environ.get("RAY_AUTH_MODE", "").lower() != "token" or environ.get("RAY_AUTH_TOKEN"):
        return
    path = Path(environ.get("RAY_AUTH_TOKEN_PATH") or home / ".ray" / "auth_token")
    try:
        reason = "" if path.read_bytes().strip() else "it is empty"
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        raise ConfigurationError(
            f"RAY_AUTH_MODE is token, and there is no token in {path} ({reason}): copy the cluster's token there, or "
            "name its file in RAY_AUTH_TOKEN_PATH"
        )


def _make_token() -> None:
    """The token of this user's own clusters, if there is none yet; Ray itself would let everybody read it."""
    setup = import_module("ray._private.authentication.authentication_token_setup")
    before = os.umask(0o077)  # for this moment only: workers and the sandboxes in them would have it from us
    try:
        setup.ensure_token_if_auth_enabled(create_token_if_missing=True)
    finally:
        os.umask(before)


def _nearby() -> str:
    """The one cluster of which this machine is a node."""
    services = import_module("ray._private.services")
    try:
        address = str(services.get_ray_address_from_environment("auto", None) or "")
    except ConnectionError as error:
        told = " ".join(str(error).split())
        raise ConfigurationError(f"which Ray cluster? Say --ray-address HOST:PORT ({told[:300]})") from error
    return address


def explained(address: str, error: Exception) -> str:
    """Why Ray could not be connected to, and what to do."""
    told = re.sub(r"\s+", " ", re.sub(r"\x1b\[[0-9;]*m", "", str(error))).strip()[:600]
    where = f"Ray at {address}" if address != "local" else "a Ray on this machine"
    if "ersion mismatch" in told:
        advice = "install the same Ray and the same Python on all nodes and here"
    elif "oken" in told or "uthenticat" in told:
        advice = "set RAY_AUTH_MODE=token and the cluster's token (RAY_AUTH_TOKEN_PATH, or ~/.ray/auth_token) here too"
    elif "node_ip_address.json" in told or "raylet" in told.lower() or "is not found" in told:
        advice = f"this machine must be a node of the cluster: ray start --address={address}"
    elif "RPC error" in told:
        advice = "is it the head of a Ray cluster?"
    elif isinstance(error, ConnectionError):
        advice = "is it going on? begin one with: ray start --head"
    else:
        advice = "see the logs of Ray, in /tmp/ray/session_latest/logs"
    return f"{where} cannot be used: {told}; {advice}"


def _knock(address: str) -> None:
    """Whether something that speaks HTTP/2, as Ray does, answers there: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    advice = "give HOST:PORT of the cluster's head, which `ray start --head` prints"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), PATIENCE) as connection:
            if os.environ.get("RAY_USE_TLS") == "1":
                return
            connection.sendall(_PREFACE)
            answer = connection.recv(9)
    except OSError as error:
        raise ConfigurationError(
            f"--ray-address {address}: nothing answers there ({error.strerror or error}); {advice}"
        ) from error
    if answer[3:4] != _SETTINGS[3:4]:
        raise ConfigurationError(f"--ray-address {address}: what answers there is no Ray cluster; {advice}")


def _greet(address: str) -> None:
    """Ask the cluster who its nodes are, to see whether it lets us in."""
    client = import_module("ray._raylet").GcsClient(address=address)
    known = client.get_all_node_info(timeout=PATIENCE).values()
    hosts = {str(node.node_manager_address) for node in known if node.state == _ALIVE}
    require_here(address, hosts)
    if LOOPBACK in hosts:
        # Ray replaces a loopback address by one that others can reach, where a cluster of this machine alone does not
        # listen. It is too late for the variable that prevents it.
        constants: Any = import_module("ray._private.ray_constants")
        constants.ENABLE_RAY_CLUSTER = False


def require_here(address: str, hosts: Collection[str]) -> None:
    """Ray itself would wait for a minute for a node on this machine.

    Raises:
        ConfigurationError: none of the nodes is on this machine.
    """
    if not any(map(_is_here, hosts)):
        first = ", ".join(sorted(hosts)[:5]) or "none is alive"
        raise ConfigurationError(
            f"--ray-address {address}: this machine is no node of that cluster ({first}): begin the run on one of its "
            f"nodes, or join it with ray start --address={address}"
        )


def _is_here(host: str) -> bool:
    """Whether an address is this machine's: only then something can be bound to it."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def nodes(ray: Any) -> list[Node]:
    """The machines that are alive, in the order of their ids."""
    state = import_module("ray._private.state")
    free: Mapping[str, Any] = {}
    leaving: Mapping[str, int] = {}
    with suppress(AttributeError):  # not public: without it a busy node is found out by waiting
        free = state.available_resources_per_node()
    with suppress(AttributeError):
        leaving = state.state.get_draining_nodes()
    return sorted(
        Node(
            node["NodeID"],
            node["NodeManagerAddress"],
            node["Resources"],
            free.get(node["NodeID"], node["Resources"]),
            node["NodeID"] in leaving,
        )
        for node in ray.nodes()
        if node["Alive"]
    )


def on_node(node: Node) -> Any:
    """The strategy that puts an actor onto this node and no other."""
    strategies = import_module("ray.util.scheduling_strategies")
    return strategies.NodeAffinitySchedulingStrategy(node.id, soft=False)


def is_lost(error: BaseException) -> bool:
    """Whether an actor, or its node, is gone, so that it is not known what became of the call."""
    exceptions = import_module("ray.exceptions")
    names = ("RayActorError", "ObjectLostError", "WorkerCrashedError", "NodeDiedError", "RaySystemError", "RpcError")
    kinds = tuple(getattr(exceptions, name) for name in names if hasattr(exceptions, name))
    return isinstance(error, kinds) and "creation task" not in str(error)  # that one never began: it cannot


def want(resource: str | None, count: int) -> None:
    """Ask an autoscaler, where there is one, for room for so many programs in all; 0 takes it back."""
    bundles = [{resource or "CPU": 1}] * count
    with suppress(Exception):  # a cluster that cannot grow is no failure
        import_module("ray.autoscaler.sdk").request_resources(bundles=bundles)


def end(ray: Any, actor: Any) -> None:
    """Kill an actor; that it is gone already is well."""
    with suppress(Exception):
        ray.kill(actor)


def workers(ray: Any) -> list[dict[str, Any]]:
    """What our workers in the cluster say of themselves, of whichever run; one that does not answer is left out."""
    asked: list[Any] = []
    for each in ray.util.list_named_actors(all_namespaces=True):
        if each["namespace"] == NAMESPACE:
            with suppress(ValueError):  # it has gone meanwhile
                asked.append(ray.get_actor(each["name"], namespace=NAMESPACE).look.remote())
    told: list[dict[str, Any]] = []
    answered: list[Any] = ray.wait(asked, num_returns=len(asked), timeout=PATIENCE)[0] if asked else []
    for each in answered:
        with suppress(Exception):  # a worker that died while it was asked has nothing to say
            told.append(ray.get(each))
    return told
