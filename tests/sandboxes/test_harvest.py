"""What is taken from a folder that a hostile program has left."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from megaagent.sandboxes.contract import Limits
from megaagent.sandboxes.harvest import MOST_NEW, digest, discard, harvest, ignored, prepare


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "folder"


def test_only_what_changed_is_written(folder: Path) -> None:
    before = prepare(folder, {"kept.py": b"1", "src/changed.py": b"1", "gone.py": b"1"})
    assert before["kept.py"] == digest(b"1")
    (folder / "src/changed.py").write_bytes(b"2")
    (folder / "gone.py").unlink()
    (folder / "new").mkdir()
    (folder / "new/empty").touch()
    found = harvest(folder, before)
    assert found.written == {"src/changed.py": b"2", "new/empty": b""}
    assert found.removed == ("gone.py",)
    assert found.refused == ()


def test_what_is_not_a_plain_file_is_refused_with_the_reason(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("secret")
    prepare(folder, {})
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "linked").symlink_to(tmp_path / "outside")
    os.link(tmp_path / "secret", folder / "hard")
    os.mkfifo(folder / "pipe")
    (folder / "setuid").write_text("x")
    (folder / "setuid").chmod(0o4755)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
    os.close(os.open(os.fsencode(folder) + b"/\xff", os.O_CREAT))
    found = harvest(folder, {})
    assert found.written == {}
    reasons = dict(note.split(": ", 1) for note in found.refused)
    assert reasons.keys() == {"link", "linked", "hard", "pipe", "setuid", "socket", "?"}
    assert "link" in reasons["link"] and "hard links" in reasons["hard"] and "pipe" in reasons["pipe"]


def test_a_file_replaced_by_a_link_is_not_reported_as_removed(folder: Path) -> None:
    before = prepare(folder, {"a": b"1", "d/b": b"1"})
    (folder / "a").unlink()
    (folder / "a").symlink_to("d/b")
    found = harvest(folder, before)
    assert (found.written, found.removed) == ({}, ())
    assert len(found.refused) == 1


def test_a_sparse_file_is_refused_at_once(folder: Path) -> None:
    prepare(folder, {})
    with (folder / "sparse").open("wb") as file:
        file.truncate(2 << 30)
    begun = time.monotonic()
    found = harvest(folder, {})
    assert found.written == {} and "2147483648 bytes" in found.refused[0]
    assert time.monotonic() - begun < 1


def test_the_sum_is_bounded(folder: Path) -> None:
    prepare(folder, {})
    for name in "abc":
        (folder / name).write_bytes(bytes(600))
    found = harvest(folder, {}, Limits(disk=1000))
    assert len(found.written) == 1 and len(found.refused) == 2


def test_a_hundred_thousand_files_are_cut_with_a_note(folder: Path) -> None:
    before = prepare(folder, {"old": b"1"})
    root = os.open(folder, os.O_RDONLY)
    for n in range(100_000):
        os.mknod(f"{n}", dir_fd=root)
    os.close(root)
    (folder / "old").unlink()
    begun = time.monotonic()
    found = harvest(folder, before)
    assert time.monotonic() - begun < 5
    assert len(found.written) <= MOST_NEW + 1
    assert "not looked at" in found.refused[-1]
    assert found.removed == ()  # it may be among what was not looked at
    discard(folder)


def test_deep_folders_and_shut_ones(folder: Path) -> None:
    before = prepare(folder, {"top": b"1", "shut/inside": b"1"})
    (folder / "shut/inside").write_bytes(b"2")
    (folder / "shut").chmod(0)
    here = os.open(folder, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    (folder / "top").unlink()
    found = harvest(folder, before)
    assert found.written == {"shut/inside": b"2"}
    assert found.removed == ("top",)
    assert len(found.refused) == 1 and "deep" in found.refused[0]
    discard(folder)
    assert list(folder.parent.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        ".git",
        ".GIT",
        ".git.",
        ".git ",
        "git~1",
        "GIT~1",
        ".g\u200cit",
        ".git::$INDEX_ALLOCATION",
        "__pycache__",
        "a.pyc",
    ],
)
def test_names_that_are_never_taken(name: str, folder: Path) -> None:
    prepare(folder, {})
    (folder / "sub" / name).mkdir(parents=True)
    (folder / "sub" / name / "config").write_text("x")
    assert ignored(name)
    assert harvest(folder, {}).written == {}


@pytest.mark.parametrize("name", [".gitignore", ".github", "git", "agit", "pycache"])
def test_names_like_them_are_taken(name: str) -> None:
    assert not ignored(name)


@pytest.mark.parametrize("name", ["../x", "/x", "a//b", "a/../../x", "", "."])
def test_prepare_stays_inside(name: str, folder: Path) -> None:
    with pytest.raises(ValueError, match="inside"):
        prepare(folder, {name: b""})
