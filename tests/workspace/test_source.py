"""Starting from what the user has, without touching it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from megaagent.errors import ConfigurationError, RunError
from megaagent.workspace import Committed, Stamp, Workspace, WorkspaceLimits

Git = Callable[..., str]
MakeStamp = Callable[..., Stamp]
Fingerprint = Callable[[Path], object]


@pytest.fixture
def project(tmp_path: Path, git: Git) -> Path:
    """A user's repository, on a branch of its own name."""
    folder = tmp_path / "user" / "project"
    folder.mkdir(parents=True)
    git("init", "-q", "-b", "trunk", cwd=folder)
    (folder / "src").mkdir()
    (folder / "src" / "a.py").write_text("1\n2\n3\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("/etc/passwd")
    (folder / ".gitignore").write_text("*.log\n")
    git("add", ".", cwd=folder)
    git("commit", "-q", "-m", "first", cwd=folder)
    git("tag", "v1", cwd=folder)
    (folder / "src" / "a.py").write_text("1\nuser\n3\n")
    git("commit", "-q", "-am", "second", cwd=folder)
    return folder


def test_a_repository_with_its_history(
    fingerprint: Fingerprint, project: Path, tmp_path: Path, stamp: MakeStamp, git: Git
):
    git("status", cwd=project)  # so that Git has no reason to refresh its index later
    before = fingerprint(project)
    workspace = Workspace.create(tmp_path / "w.git", project, stamp=stamp(), durable=False)
    assert fingerprint(project) == before
    assert not workspace.dirty and workspace.left_out == ()
    assert workspace.head() == git("rev-parse", "HEAD", cwd=project).strip()
    assert [entry.path for entry in workspace.list()] == [".gitignore", "run.sh", "src/a.py"]
    assert [(it.agent, it.author, it.subject) for it in workspace.log()] == [
        (None, "User", "second"),
        (None, "User", "first"),
    ]
    result = workspace.write("src/a.py", b"1\nuser\nagent\n", workspace.head(), stamp("boss/coder"))
    assert isinstance(result, Committed)
    assert [it.agent for it in workspace.blame("src/a.py")] == [None, None, "boss/coder"]
    assert workspace.adopted(stamp()) == {}
    assert fingerprint(project) == before
    for file in workspace.path.rglob("*"):
        if file.is_file() and "objects" not in file.parts:
            assert str(project) not in file.read_text()


def test_the_result_is_fetched_back(project: Path, tmp_path: Path, stamp: MakeStamp, git: Git):
    workspace = Workspace.create(tmp_path / "w.git", project, stamp=stamp(), durable=False)
    start = workspace.head()
    workspace.write("new/b.py", b"b\n", None, stamp())
    workspace.write("src/a.py", b"agent\nuser\n3\n", start, stamp())
    git("fetch", "-q", tmp_path / "w.git", "main:megaagent/x", cwd=project)
    assert git("rev-parse", "megaagent/x", cwd=project).strip() == workspace.head()
    assert git("log", "--format=%s", "trunk..megaagent/x", cwd=project) == "Write src/a.py\nWrite new/b.py\n"
    (tmp_path / "result.patch").write_text(workspace.diff(start, workspace.head()), newline="")
    git("apply", "--index", tmp_path / "result.patch", cwd=project)
    assert git("write-tree", cwd=project).strip() == workspace.tree()
    git("fsck", "--strict", cwd=project)
    workspace.close()


@pytest.mark.parametrize("how", ["changed", "staged", "untracked", "ignored", "clean"])
def test_the_work_tree_is_not_taken_but_told(
    fingerprint: Fingerprint, project: Path, tmp_path: Path, stamp: MakeStamp, git: Git, how: str
):
    if how in ("changed", "staged"):
        (project / "src" / "a.py").write_text("uncommitted\n")
    if how == "staged":
        git("add", "-A", cwd=project)
    if how in ("untracked", "ignored"):
        (project / ("new.txt" if how == "untracked" else "new.log")).write_text("x\n")
    before = fingerprint(project)
    workspace = Workspace.create(tmp_path / "w.git", project, stamp=stamp(), durable=False)
    assert workspace.dirty == (how in ("changed", "staged", "untracked"))
    assert workspace.read("src/a.py").text == "1\nuser\n3\n"
    assert fingerprint(project) == before


@pytest.mark.parametrize("how", ["bare", "detached", "worktree"])
def test_other_kinds_of_repositories(project: Path, tmp_path: Path, stamp: MakeStamp, git: Git, how: str):
    source = tmp_path / how
    head = git("rev-parse", "HEAD", cwd=project).strip()
    if how == "bare":
        git("clone", "-q", "--bare", project, source, cwd=tmp_path)
    elif how == "worktree":
        git("worktree", "add", "-q", "-b", "other", source, cwd=project)
    else:
        git("clone", "-q", project, source, cwd=tmp_path)
        head = git("rev-parse", "HEAD~1", cwd=source).strip()
        git("checkout", "-q", "--detach", head, cwd=source)
    workspace = Workspace.create(tmp_path / "w.git", source, stamp=stamp(), durable=False)
    assert workspace.head() == head and git("branch", cwd=workspace.path) == "* main\n"


def test_a_shallow_clone_says_how_to_complete_it(project: Path, tmp_path: Path, stamp: MakeStamp, git: Git):
    git("clone", "-q", "--depth=1", f"file://{project}", tmp_path / "shallow", cwd=tmp_path)
    with pytest.raises(ConfigurationError, match="--unshallow"):
        Workspace.create(tmp_path / "w.git", tmp_path / "shallow", stamp=stamp())
    assert not (tmp_path / "w.git").exists()


def test_a_repository_that_cannot_be_read(project: Path, tmp_path: Path, stamp: MakeStamp):
    with (project / ".git" / "config").open("a") as config:
        config.write("[core]\n\trepositoryformatversion = 99\n")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Workspace.create(tmp_path / "w.git", project, stamp=stamp())
    for wrong in (tmp_path / "absent", project / "run.sh"):
        with pytest.raises(ConfigurationError, match="not a folder"):
            Workspace.create(tmp_path / "w.git", wrong, stamp=stamp())


def test_the_place_must_be_free(fingerprint: Fingerprint, project: Path, stamp: MakeStamp):
    before = fingerprint(project)
    with pytest.raises(RunError, match="exists already"):
        Workspace.create(project, project, stamp=stamp())
    assert fingerprint(project) == before


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "plain"
    (made / "sub").mkdir(parents=True)
    (made / "sub" / "a.txt").write_text("a\r\n")
    (made / "sub" / "A.txt").write_text("twin\n")
    (made / "tool").write_text("#!/bin/sh\n")
    (made / "tool").chmod(0o755)
    (made / "cafe\u0301.md").write_text("nfd\n")
    (made / "big").write_bytes(b"x" * 200)
    (made / "link").symlink_to("/etc/passwd")
    (made / "loop").symlink_to(".")
    (made / "bad\nname").write_text("x")
    (made / os.fsdecode(b"\xff\xfe")).write_text("x")
    os.mkfifo(made / "fifo")
    return made


def test_a_plain_folder_is_taken_as_it_is(
    fingerprint: Fingerprint, folder: Path, tmp_path: Path, stamp: MakeStamp, git: Git
):
    before = fingerprint(folder)
    limits = WorkspaceLimits(file_bytes=100)
    workspace = Workspace.create(tmp_path / "w.git", folder, stamp=stamp("engine:"), limits=limits, durable=False)
    assert fingerprint(folder) == before
    assert {entry.path for entry in workspace.list()} == {"caf\u00e9.md", "sub/A.txt", "sub/a.txt", "tool"}
    assert workspace.read("sub/a.txt").text == "a\r\n"
    reasons = dict(line.rsplit(": ", 1) for line in workspace.left_out)
    assert reasons == {
        "big": "larger than 100 bytes",
        "link": "a symbolic link",
        "loop": "a symbolic link",
        "fifo": "not a regular file",
        "bad\nname": "a name that cannot be used",
        "\\udcff\\udcfe": "a name that cannot be used",
    }
    assert workspace.log()[0].subject == "Start from a folder of 4 files" and not workspace.dirty
    assert "100755" in git("ls-tree", "main", "tool", cwd=workspace.path)


def test_a_repository_without_a_commit_is_a_folder(tmp_path: Path, stamp: MakeStamp, git: Git):
    (tmp_path / "fresh").mkdir()
    git("init", "-q", cwd=tmp_path / "fresh")
    (tmp_path / "fresh" / "a.txt").write_text("a\n")
    workspace = Workspace.create(tmp_path / "w.git", tmp_path / "fresh", stamp=stamp(), durable=False)
    assert [entry.path for entry in workspace.list()] == ["a.txt"]


@pytest.mark.parametrize("limits", [WorkspaceLimits(source_files=3), WorkspaceLimits(source_bytes=210)])
def test_a_folder_that_is_too_large(folder: Path, tmp_path: Path, stamp: MakeStamp, limits: WorkspaceLimits):
    with pytest.raises(ConfigurationError, match="smaller folder"):
        Workspace.create(tmp_path / "w.git", folder, stamp=stamp(), limits=limits)
    assert not (tmp_path / "w.git").exists()
