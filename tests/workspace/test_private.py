"""The user's own Git configuration is neither read nor changed, however hostile it is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Git = Callable[..., str]
Fingerprint = Callable[[Path], object]

SCENARIO = """
import sys
from pathlib import Path
import pygit2
from megaagent.workspace import Committed, Conflict, Stamp, Workspace

root, source = Path(sys.argv[1]), sys.argv[2]
count = iter(range(1, 99))
def stamp():
    return Stamp("boss/a", "r", next(count), 0, 1_700_000_000.0)
before = pygit2.settings.owner_validation
w = Workspace.create(root / "w.git", Path(source) if source else None, stamp=stamp(), durable=False)
first = w.write("a.txt", b"1\\n2\\n3\\r\\n", None, stamp())
w.write("a.txt", b"one\\n2\\n3\\r\\n", first.revision, stamp())
assert w.write("a.txt", b"1\\n2\\nthree\\r\\n", first.revision, stamp()).merged
assert isinstance(w.write("a.txt", b"x\\n", first.revision, stamp()), Conflict)
attributes = b"* filter=evil diff=evil merge=evil text eol=crlf ident\\n"
w.write_many({"c.bin": b"\\0", ".gitattributes": attributes}, w.head(), stamp())
w.write("b.txt", b"$Id$\\n", None, stamp())
patch = w.diff(first.revision, w.head())
assert "+$Id$" in patch and "+one" in patch, patch
w.checkout(root / "out")
assert (root / "out" / "a.txt").read_bytes() == b"one\\n2\\nthree\\r\\n"
assert (root / "out" / "b.txt").read_bytes() == b"$Id$\\n"
assert [line.agent for line in w.blame("a.txt")] == ["boss/a"] * 3
w.log(); w.search("one"); w.adopted(stamp()); w.close()
Workspace.open(root / "w.git").close()
assert pygit2.settings.owner_validation == before
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A HOME in which everything that Git could run leaves a mark, and every setting is unwelcome."""
    folder = tmp_path / "home"
    mark = folder / "ran"
    for place in ("hooks", "template/hooks", ".config/git"):
        (folder / place).mkdir(parents=True)
    program = folder / "evil"
    program.write_text(f"#!/bin/sh\necho $0 >> {mark}\ncat\n")
    program.chmod(0o755)
    for hook in ("pre-commit", "post-commit", "reference-transaction", "post-checkout", "update", "post-index-change"):
        for place in ("hooks", "template/hooks"):
            (folder / place / hook).symlink_to(program)
    config = f"""
[core]
    hooksPath = {folder}/hooks
    autocrlf = true
    eol = crlf
    fsmonitor = {program}
    attributesFile = {folder}/attributes
    excludesFile = {folder}/excludes
    bare = false
    worktree = /
    logAllRefUpdates = always
    compression = 99999
[init]
    templateDir = {folder}/template
    defaultBranch = wrong
[commit]
    gpgSign = true
[gpg]
    program = {program}
[user]
    name = Wrong Person
    signingKey = x
[filter "evil"]
    clean = {program}
    smudge = {program}
    process = {program}
    required = true
[diff "evil"]
    command = {program}
    textconv = {program}
    binary = true
[merge]
    conflictStyle = diff3
[merge "evil"]
    driver = {program}
[url "{folder}/nowhere"]
    insteadOf = /
[fetch]
    prune = true
"""
    (folder / ".gitconfig").write_text(config)
    (folder / ".config" / "git" / "config").write_text(config + "[broken\n")
    attributes = "* filter=evil diff=evil merge=evil text eol=crlf ident -diff\n"
    (folder / "attributes").write_text(attributes)
    (folder / ".config" / "git" / "attributes").write_text(attributes)
    (folder / "excludes").write_text("*\n")
    return folder


@pytest.mark.parametrize("start", ["empty", "repository"])
def test_a_hostile_home(fingerprint: Fingerprint, home: Path, tmp_path: Path, git: Git, start: str):
    source = tmp_path / "source"
    if start == "repository":
        source.mkdir()
        git("init", "-q", cwd=source)
        (source / "kept.txt").write_text("kept\n")
        git("add", ".", cwd=source)
        git("commit", "-q", "-m", "first", cwd=source)
        for hook in ("post-commit", "reference-transaction"):
            (source / ".git" / "hooks" / hook).unlink(missing_ok=True)
            (source / ".git" / "hooks" / hook).symlink_to(home / "evil")
    before = fingerprint(home), fingerprint(source) if source.exists() else None
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.hooksPath",
        "GIT_CONFIG_VALUE_0": str(home / "hooks"),
        "GIT_DIR": str(home),
        "GIT_TEMPLATE_DIR": str(home / "template"),
        "GIT_AUTHOR_NAME": "Wrong Person",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCENARIO, tmp_path, source if start == "repository" else ""],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (home / "ran").exists()
    assert (fingerprint(home), fingerprint(source) if source.exists() else None) == before
    repo = tmp_path / "w.git"
    assert git("fsck", "--strict", "--no-dangling", cwd=repo) == ""
    assert (repo / "HEAD").read_text() == "ref: refs/heads/main\n"
    assert not (repo / "logs").exists()
    assert [hook.name for hook in (repo / "hooks").iterdir()] == ["README.sample"]  # libgit2's own
    names = set(git("log", "--format=%an %cn %G?", cwd=repo).splitlines())
    assert names == ({"a a N", "User User N"} if start == "repository" else {"a a N"})
    assert git("show", "main:a.txt", cwd=repo) == "one\n2\nthree\n"  # text mode folds the \r\n
    config = (repo / "config").read_text()
    assert "evil" not in config and str(home) not in config


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_folders_of_somebody_else_are_opened(tmp_path: Path, git: Git):
    source = tmp_path / "source"
    source.mkdir()
    git("init", "-q", cwd=source)
    git("commit", "-q", "--allow-empty", "-m", "first", cwd=source)
    for path in [source, *source.rglob("*")]:
        os.chown(path, 12345, 12345, follow_symlinks=False)
    done = subprocess.run(
        [sys.executable, "-c", SCENARIO, tmp_path, source], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
