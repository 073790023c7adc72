from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from megaagent.errors import RunError, ToolError
from megaagent.workspace import Committed, Conflict, FileText, Hit, Stamp, Workspace, WorkspaceLimits

MakeStamp = Callable[..., Stamp]
Git = Callable[..., str]


def put(workspace: Workspace, stamp: Stamp, **files: str) -> Committed:
    """Write files that nobody else touches; the name's `_` stands for the dot."""
    result = None
    for name, text in files.items():
        result = workspace.write(name.replace("_", "."), text.encode(), workspace.head(), stamp)
        assert isinstance(result, Committed)
    assert result is not None
    return result


def test_a_write_is_read_back(workspace: Workspace, stamp: MakeStamp):
    result = workspace.write("src/a.py", b"print(1)\n", None, stamp())
    digest = hashlib.sha256(b"print(1)\n").hexdigest()
    assert result == Committed(workspace.head(), digest, 9, merged=False)
    assert workspace.read("src/a.py") == FileText("src/a.py", "print(1)\n", workspace.head())


def test_old_revisions_stay_readable(workspace: Workspace, stamp: MakeStamp):
    first = put(workspace, stamp(), a_txt="one\n")
    put(workspace, stamp(), a_txt="two\n")
    assert workspace.read("a.txt", first.revision) == FileText("a.txt", "one\n", first.revision)
    assert workspace.read("a.txt").text == "two\n"
    assert workspace.resolve(first.revision[:12]) == first.revision
    with pytest.raises(ToolError, match="Read the file again"):
        workspace.read("a.txt", "HEAD~1")


def test_the_same_content_makes_no_commit(workspace: Workspace, stamp: MakeStamp):
    first = put(workspace, stamp(), a_txt="one\n")
    assert workspace.write("a.txt", b"one\n", None, stamp()) == first
    assert len(workspace.log("a.txt")) == 1


def test_a_base_from_before_unrelated_commits_is_no_merge(workspace: Workspace, stamp: MakeStamp):
    seen = put(workspace, stamp(), a_txt="one\n")
    put(workspace, stamp(), b_txt="other\n")
    result = workspace.write("a.txt", b"two\n", seen.revision, stamp())
    assert isinstance(result, Committed) and not result.merged
    assert workspace.read("b.txt").text == "other\n"


def test_changes_of_different_lines_are_merged(workspace: Workspace, stamp: MakeStamp):
    seen = put(workspace, stamp(), a_txt="1\n2\n3\n4\n5\n")
    put(workspace, stamp("boss/one"), a_txt="one\n2\n3\n4\n5\n")
    result = workspace.write("a.txt", b"1\n2\n3\n4\nfive\n", seen.revision, stamp("boss/two"))
    assert isinstance(result, Committed) and result.merged
    text = "one\n2\n3\n4\nfive\n"
    assert workspace.read("a.txt").text == text
    assert (result.digest, result.size) == (hashlib.sha256(text.encode()).hexdigest(), len(text))
    assert workspace.log()[0].subject == "Merge a.txt"


def test_a_conflict_carries_both_texts_and_changes_nothing(workspace: Workspace, stamp: MakeStamp):
    seen = put(workspace, stamp(), a_txt="top\nold\n")
    moved = put(workspace, stamp("boss/one"), a_txt="top\ntheirs\n")
    result = workspace.write("a.txt", b"top\nmine\n", seen.revision, stamp("boss/two"))
    assert isinstance(result, Conflict)
    assert (result.path, result.base, result.theirs_revision) == ("a.txt", seen.revision, moved.revision)
    assert (result.base_text, result.mine, result.theirs) == ("top\nold\n", "top\nmine\n", "top\ntheirs\n")
    short = moved.revision[:12]
    assert result.marked == f"top\n<<<<<<< yours\nmine\n=======\ntheirs\n>>>>>>> at {short}\n"
    assert workspace.head() == moved.revision
    settled = workspace.write("a.txt", b"top\nmine and theirs\n", result.theirs_revision, stamp("boss/two"))
    assert isinstance(settled, Committed) and not settled.merged


def test_writing_unseen_over_a_file_is_a_conflict(workspace: Workspace, stamp: MakeStamp):
    put(workspace, stamp(), a_txt="theirs\n")
    result = workspace.write("a.txt", b"mine\n", None, stamp())
    assert isinstance(result, Conflict) and result.base is None and result.base_text is None
    assert "mine\n" in result.marked and "theirs\n" in result.marked


def test_removed_against_changed_is_a_conflict_both_ways(workspace: Workspace, stamp: MakeStamp):
    seen = put(workspace, stamp(), a_txt="one\n", b_txt="one\n")
    put(workspace, stamp(), a_txt="two\n")
    removing = workspace.remove("a.txt", seen.revision, stamp())
    assert isinstance(removing, Conflict) and (removing.mine, removing.theirs) == ("", "two\n")
    assert isinstance(workspace.remove("b.txt", seen.revision, stamp()), Committed)
    for content in (b"changed\n", b"one\n"):
        writing = workspace.write("b.txt", content, seen.revision, stamp())
        assert isinstance(writing, Conflict) and (writing.base_text, writing.theirs) == ("one\n", "")


def test_remove(workspace: Workspace, stamp: MakeStamp):
    workspace.write("deep/er/a.txt", b"x", None, stamp())
    before = workspace.head()
    assert workspace.remove("deep/er/a.txt", before, stamp()) == Committed(workspace.head(), None, 0, False)
    assert workspace.list() == []
    assert workspace.remove("deep/er/a.txt", before, stamp()) == Committed(workspace.head(), None, 0, False)
    with pytest.raises(ToolError, match="no file nothing"):
        workspace.remove("nothing", before, stamp())


@pytest.mark.parametrize("content", [b"\0\1\2", b"caf\xe9"])
def test_binary_files_are_stored_and_never_merged(workspace: Workspace, stamp: MakeStamp, content: bytes):
    first = workspace.write("a.bin", content, None, stamp())
    assert isinstance(first, Committed) and workspace.read_bytes("a.bin") == content
    with pytest.raises(ToolError, match="binary"):
        workspace.read("a.bin")
    workspace.write("a.bin", content + b"theirs", first.revision, stamp())
    result = workspace.write("a.bin", content + b"mine", first.revision, stamp())
    assert isinstance(result, Conflict) and result.marked == ""
    assert result.mine == f"[binary, {len(content) + 4} bytes]"


def test_missing_files_are_answered_with_the_nearest(workspace: Workspace, stamp: MakeStamp):
    workspace.write("src/board.py", b"x", None, stamp())
    for wrong in ("board.py", "src/bord.py", "SRC/Board.py"):
        with pytest.raises(ToolError, match=r"Nearest: src/board\.py"):
            workspace.read(wrong)
    with pytest.raises(ToolError, match="is a folder"):
        workspace.read("src")
    with pytest.raises(ToolError, match="no file"):
        workspace.read("src/board.py/x")


def test_twins_are_refused_with_the_name_that_exists(workspace: Workspace, stamp: MakeStamp):
    workspace.write("Docs/Straße.md", b"x", None, stamp())
    for twin in ("docs/new.md", "Docs/STRASSE.md", "Docs/straße.md"):
        with pytest.raises(ToolError, match="Docs"):
            workspace.write(twin, b"x", None, stamp())
    with pytest.raises(ToolError, match=r"a\.txt"):
        workspace.write_many({"A.txt": b"1", "a.txt": b"2"}, workspace.head(), stamp())
    done, _ = workspace.write_many({"Docs/Straße.md": None, "docs/strasse.md": b"x"}, workspace.head(), stamp())
    assert len(done) == 2 and [entry.path for entry in workspace.list()] == ["docs/strasse.md"]


def test_files_and_folders_do_not_replace_each_other(workspace: Workspace, stamp: MakeStamp):
    workspace.write("a", b"x", None, stamp())
    workspace.write("b/c", b"x", None, stamp())
    for path in ("a/x", "b"):
        with pytest.raises(ToolError, match=r"file|folder"):
            workspace.write(path, b"x", workspace.head(), stamp())
    for both in ({"n": b"1", "n/m": b"2"}, {"n/m": b"1", "n": b"2"}):
        with pytest.raises(ToolError, match="Rename one"):
            workspace.write_many(both, workspace.head(), stamp())
    done, _ = workspace.write_many({"a": None, "a/x": b"1"}, workspace.head(), stamp())
    assert len(done) == 2 and workspace.read("a/x").text == "1"


def test_limits_and_submodules(tmp_path: Path, stamp: MakeStamp):
    limits = WorkspaceLimits(file_bytes=10)
    workspace = Workspace.create(tmp_path / "small.git", stamp=stamp(), limits=limits, durable=False)
    assert isinstance(workspace.write("a", b"x" * 10, None, stamp()), Committed)
    with pytest.raises(ToolError, match="11 bytes, 10 are allowed"):
        workspace.write("a", b"x" * 11, None, stamp())
    with pytest.raises(ToolError, match="submodules"):
        workspace.write("sub/.GitModules", b"x", None, stamp())


def test_a_harvest_is_one_commit_of_what_merges(workspace: Workspace, stamp: MakeStamp):
    seen = put(workspace, stamp(), a_txt="1\n2\n3\n", b_txt="b\n", c_txt="c\n", d_txt="d\n").revision
    put(workspace, stamp(), a_txt="one\n2\n3\n")
    head = put(workspace, stamp(), b_txt="theirs\n").revision
    mine = stamp()
    changes = {"a.txt": b"1\n2\nthree\n", "b.txt": b"mine\n", "c.txt": None, "d.txt": b"d\n", "new/e.txt": b"e\n"}
    done, conflicts = workspace.write_many(changes, seen, mine)
    assert [conflict.path for conflict in conflicts] == ["b.txt"]
    assert [(path, it.merged, it.size) for path, it in done] == [
        ("a.txt", True, 12),
        ("c.txt", False, 0),
        ("d.txt", False, 2),
        ("new/e.txt", False, 2),
    ]
    assert {it.revision for _, it in done} == {workspace.head()}
    assert len(workspace.log()) == len(workspace.log(limit=1000)) and workspace.log()[1].revision == head
    assert {entry.path for entry in workspace.list()} == {"a.txt", "b.txt", "d.txt", "new/e.txt"}
    assert workspace.read("b.txt").text == "theirs\n"
    # d.txt did not change, so no commit names it.
    assert workspace.adopted(mine) == {path: it for path, it in done if path != "d.txt"}


def test_a_harvest_of_conflicts_commits_nothing(workspace: Workspace, stamp: MakeStamp):
    seen = put(workspace, stamp(), a_txt="1\n").revision
    head = put(workspace, stamp(), a_txt="2\n").revision
    done, conflicts = workspace.write_many({"a.txt": b"3\n"}, seen, stamp())
    assert (done, len(conflicts), workspace.head()) == ([], 1, head)


def test_adopted_is_exact(workspace: Workspace, stamp: MakeStamp):
    mine = Stamp("boss/a", "run-1", 7, 2, 1_700_000_000.0)
    result = workspace.write("a.txt", b"x\n", None, mine)
    put(workspace, stamp(), b_txt="later\n")
    assert workspace.adopted(mine) == {"a.txt": result}
    for other in (
        Stamp("boss/b", "run-1", 7, 2, 0.0),
        Stamp("boss/a", "run-2", 7, 2, 0.0),
        Stamp("boss/a", "run-1", 8, 2, 0.0),
        Stamp("boss/a", "run-1", 7, 1, 0.0),
    ):
        assert workspace.adopted(other) == {}
    assert isinstance(workspace.remove("a.txt", workspace.head(), mine), Committed)
    assert workspace.adopted(mine) == {"a.txt": Committed(workspace.head(), None, 0, False)}


def test_a_path_cannot_forge_a_stamp(workspace: Workspace, stamp: MakeStamp):
    workspace.write("x MegaAgent-Run: run-1", b"x\n", None, Stamp("boss", "run-2", 1, 1, 0.0))
    assert workspace.adopted(Stamp("boss", "run-1", 1, 1, 0.0)) == {}


@pytest.mark.parametrize("bad", ["", "a\nMegaAgent-Step: 1", "a\r", "<a>", "a\0", " "])
def test_a_stamp_that_would_break_a_commit_is_refused(workspace: Workspace, bad: str):
    for stamp in (Stamp(bad, "run", 1, 0, 1.0), Stamp("boss", bad, 1, 0, 1.0)):
        with pytest.raises(ValueError, match="cannot name the writer"):
            workspace.write("a", b"x", None, stamp)


def test_git_agrees(workspace: Workspace, stamp: MakeStamp, git: Git):
    put(workspace, Stamp("boss/engine", "r", 3, 1, 1_700_000_100.0), a_txt="1\n2\n3\n")
    put(workspace, Stamp("boss/engine/search", "r", 4, 0, 1_700_000_200.0), a_txt="1\ntwo\n3\n")
    put(workspace, Stamp("person:", "r", 0, 0, 1_700_000_300.0), a_txt="1\ntwo\nthree\n")
    repo = workspace.path
    assert git("fsck", "--strict", "--no-dangling", cwd=repo) == ""
    shown = git("log", "--format=%an|%ae|%cn|%at|%s|%(trailers:only,unfold,separator=;)", cwd=repo).splitlines()
    assert shown[1] == (
        "search|boss.engine.search@megaagent.invalid|search|1700000200|Write a.txt|"
        "MegaAgent-Run: r;MegaAgent-Agent: boss/engine/search;MegaAgent-Step: 4;MegaAgent-Call: 0"
    )
    assert shown[0].startswith("person|person@megaagent.invalid|")
    entry = workspace.log("a.txt")[1]
    assert (entry.agent, entry.author, entry.step, entry.time) == ("boss/engine/search", "search", 4, 1_700_000_200.0)
    lines = workspace.blame("a.txt")
    assert [(it.line, it.agent, it.text) for it in lines] == [
        (1, "boss/engine", "1"),
        (2, "boss/engine/search", "two"),
        (3, "person:", "three"),
    ]
    blamed = git("blame", "--porcelain", "main", "--", "a.txt", cwd=repo)
    assert [line[:40] for line in blamed.splitlines() if line[:40].isalnum() and len(line) > 44] == [
        it.revision for it in lines
    ]
    assert git("rev-parse", "main^{tree}", cwd=repo).strip() == workspace.tree()


def test_contains(workspace: Workspace, stamp: MakeStamp, git: Git):
    # Virtual time may begin long before the commits that a run starts from.
    revisions = [
        put(workspace, Stamp("boss", "r", n, 0, when), a_txt=f"{n}\n").revision
        for n, when in enumerate([2e9, 1e9, 3e9, 5.0, 1.9e9])
    ]
    assert all(map(workspace.contains, revisions))
    tree = workspace.tree()
    stray = git("commit-tree", tree, "-m", "stray", "-p", revisions[0], cwd=workspace.path).strip()
    assert not workspace.contains(stray) and not workspace.contains("0" * 40) and not workspace.contains("main")


def test_list_and_search(workspace: Workspace, stamp: MakeStamp):
    changes = {"a.py": b"Needle\n", "b/c.py": b"x\nhay needle hay\n", "b/d.bin": b"needle\0", "e.md": b"z" * 999}
    workspace.write_many(changes, workspace.head(), stamp())
    assert [(it.path, it.size) for it in workspace.list("**/*.py")] == [("a.py", 7), ("b/c.py", 17)]
    assert len(workspace.list()) == 4
    assert workspace.search("nEEdle") == [Hit("a.py", 1, "Needle"), Hit("b/c.py", 2, "hay needle hay")]
    assert len(workspace.search("needle", limit=1)) == 1
    assert [len(hit.text) for hit in workspace.search("zz")] == [300]
    for nothing in ("", "a\nb"):
        with pytest.raises(ToolError, match="one line"):
            workspace.search(nothing)


def test_the_diff_applies(workspace: Workspace, stamp: MakeStamp, git: Git, tmp_path: Path):
    files = {
        "a.txt": b"1\n2\n3\n",
        "no end": b"x",
        "old/r.txt": b"r\n",
        "b.bin": b"\0\1" * 50,
        "latin.txt": b"caf\xe9\n",
    }
    workspace.write_many(files, workspace.head(), stamp())
    old = workspace.head()
    after = {
        "a.txt": b"1\ntwo\n3\n",
        "no end": b"y",
        "old/r.txt": None,
        "b.bin": b"\0\2" * 60,
        "latin.txt": b"\xe9t\xe9\n",
    }
    workspace.write_many({**after, "neu/ü.txt": b"n\r\n", "empty": b""}, old, stamp())
    workspace.checkout(tmp_path / "out", old)
    patch = workspace.diff(old, workspace.head())
    git("init", "-q", cwd=tmp_path / "out")
    (tmp_path / "p.patch").write_text(patch, newline="")
    git("apply", tmp_path / "p.patch", cwd=tmp_path / "out")
    git("add", "-A", cwd=tmp_path / "out")
    assert git("write-tree", cwd=tmp_path / "out").strip() == workspace.tree()


def test_checkout_writes_plain_files(workspace: Workspace, stamp: MakeStamp, git: Git, tmp_path: Path):
    put(workspace, stamp(), a_txt="crlf stays\r\n")
    workspace.write("run.sh", b"#!/bin/sh\n", None, stamp())
    workspace.write(".gitattributes", b"* text eol=crlf ident filter=x\n", None, stamp())
    assert workspace.checkout(tmp_path / "new" / "out") == workspace.head()
    written = {p.name: p.read_bytes() for p in (tmp_path / "new" / "out").iterdir()}
    assert written["a.txt"] == b"crlf stays\r\n" and written["run.sh"] == b"#!/bin/sh\n" and len(written) == 3


def test_checkout_does_not_follow_links(workspace: Workspace, stamp: MakeStamp, tmp_path: Path):
    put(workspace, stamp(), a_txt="x\n")
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "link").symlink_to(outside)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").symlink_to(outside / "a.txt")
    (tmp_path / "file").write_text("")
    for target in ("link", "full", "file"):
        with pytest.raises(RunError, match="empty folder"):
            workspace.checkout(tmp_path / target)
    assert list(outside.iterdir()) == []


def test_a_hostile_tree_stays_inside(workspace: Workspace, git: Git, tmp_path: Path):
    """What a source repository may hold: links out, submodules, names that climb or that nobody can see."""
    blob = git("hash-object", "-w", "--stdin", cwd=workspace.path, text="/etc").strip()
    empty = git("mktree", cwd=workspace.path, text=f"100644 blob {blob}\tinner\n").strip()
    climbing = git("mktree", cwd=workspace.path, text=f"100755 blob {blob}\tok\n040000 tree {empty}\t..\n").strip()
    tree = git(
        "mktree",
        "--missing",
        cwd=workspace.path,
        text=f"120000 blob {blob}\tlink\n160000 commit {'1' * 40}\tsub\n040000 tree {empty}\t.git\n"
        f"100644 blob {blob}\tbidi\u202e\n040000 tree {climbing}\tdir\n100644 blob {blob}\tback\\slash\n",
    ).strip()
    commit = git("commit-tree", tree, "-m", "hostile", cwd=workspace.path).strip()
    git("update-ref", "refs/heads/main", commit, cwd=workspace.path)
    assert [entry.path for entry in workspace.list()] == ["dir/ok"]
    workspace.checkout(tmp_path / "a" / "out")
    assert [p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()] == [Path("out/dir/ok")]
    assert (tmp_path / "a/out/dir/ok").stat().st_mode & stat.S_IXUSR
    for path in ("link", "sub"):
        with pytest.raises(ToolError, match="symbolic link or a submodule"):
            workspace.read(path)
        with pytest.raises(ToolError, match="symbolic link or a submodule"):
            workspace.write(path, b"x", None, Stamp("boss", "r", 1, 0, 1.0))
    kept = workspace.write("dir/ok", b"new", workspace.head(), Stamp("boss", "r", 1, 0, 1.0))
    assert isinstance(kept, Committed)
    assert "100755" in git("ls-tree", "main", "dir/ok", cwd=workspace.path)
    assert git("ls-tree", "main", "link", cwd=workspace.path).startswith("120000")


def test_open_and_create_say_what_is_wrong(workspace: Workspace, stamp: MakeStamp, tmp_path: Path):
    with pytest.raises(RunError, match="exists already"):
        Workspace.create(workspace.path, stamp=stamp())
    (tmp_path / "plain").mkdir()
    for wrong in ("plain", "absent"):
        with pytest.raises(RunError, match="not a workspace"):
            Workspace.open(tmp_path / wrong)
    again = Workspace.open(workspace.path)
    assert again.head() == workspace.head()
    again.close()


def test_a_start_that_was_killed_is_begun_again(stamp: MakeStamp, tmp_path: Path):
    (tmp_path / "w.git.making" / "objects").mkdir(parents=True)
    Workspace.create(tmp_path / "w.git", stamp=stamp(), durable=False).close()
    assert [p.name for p in tmp_path.iterdir()] == ["w.git"]


def test_the_lock_of_a_killed_process_is_broken(workspace: Workspace, stamp: MakeStamp):
    lock = workspace.path / "refs/heads/main.lock"
    lock.write_text("")
    os.utime(lock, (1, 1))
    assert isinstance(workspace.write("a", b"x", None, stamp()), Committed)
    assert not lock.exists()


def test_durable_writes_sync_before_the_branch_moves(tmp_path: Path, stamp: MakeStamp, git: Git):
    workspace = Workspace.create(tmp_path / "w.git", stamp=stamp())
    result = workspace.write("a/b.txt", b"x\n", None, stamp())
    assert isinstance(result, Committed) and workspace.contains(result.revision)
    assert git("fsck", "--strict", cwd=workspace.path) == ""
    workspace.close()


def test_a_lock_that_a_killed_writer_left_is_freed_by_who_knows_to_be_alone(tmp_path: Path):
    stamp = Stamp("boss", "run", 1, 0, 1_700_000_000.0)
    workspace = Workspace.create(tmp_path / "workspace.git", stamp=stamp)
    lock = tmp_path / "workspace.git" / "refs" / "heads" / "main.lock"
    lock.write_text("")
    workspace.sole_writer()
    assert not lock.exists()
    workspace.write("a.txt", b"a\n", None, stamp)
    workspace.close()
