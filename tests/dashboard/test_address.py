"""Where the server may listen, and by which names it may be called."""

from __future__ import annotations

import pytest

from megaagent.dashboard.address import Place, hosts_of, listen
from megaagent.errors import ConfigurationError


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.0.2.7", "runs.example.org"])
def test_other_machines_are_let_in_only_with_tls_or_when_told(bind: str) -> None:
    with pytest.raises(ConfigurationError, match="--without-tls"):
        listen(Place(bind))


def test_everywhere_needs_a_name() -> None:
    with pytest.raises(ConfigurationError, match="--name"):
        hosts_of(Place("0.0.0.0", plain=True), 9000)
    assert hosts_of(Place("0.0.0.0", plain=True, names=("Runs.example.org",)), 9000) == ["runs.example.org:9000"]


def test_loopback_has_its_names_with_the_port_only() -> None:
    assert hosts_of(Place(), 9000) == ["127.0.0.1:9000", "localhost:9000"]
    assert hosts_of(Place("::1"), 9000) == ["[::1]:9000", "localhost:9000"]


def test_a_usual_port_may_be_left_out() -> None:
    assert hosts_of(Place(), 80) == ["127.0.0.1:80", "localhost:80", "127.0.0.1", "localhost"]


def test_a_taken_port_is_told() -> None:
    held = listen(Place())
    try:
        with pytest.raises(ConfigurationError, match="cannot listen"):
            listen(Place(port=held.getsockname()[1]))
    finally:
        held.close()
