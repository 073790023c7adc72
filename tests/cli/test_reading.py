"""The commands that read a run, and those that speak to one."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from tests.cli.test_run import GOAL, harmless, names
from tests.cli.theatre import PROGRAM, Opening, Silent, piped, shell
from tests.telemetry.receiver import receiving

from megaagent.cli.exits import CONFIGURATION, ENDINGS, RUN_FOLDER
from megaagent.models.server import SimServer


def the_run(folder: Path) -> Path:
    [run] = (folder / "megaagent-runs").glob("2*")
    return run


async def test_ps_and_tree(finished: Path):
    listed = (await piped(finished, "ps")).out.splitlines()
    assert listed[0].split() == ["RUN", "STATUS", "AGENTS", "STEPS", "COST", "AGE"]
    assert listed[1].split()[:3] == [the_run(finished).name, "completed", "2"]
    tree = (await piped(finished, "tree")).out.splitlines()
    assert tree[0].startswith("boss ")
    assert tree[1].startswith("└ helper ")
    assert tree[2].startswith("completed: 2 agents, ")


async def test_show_tells_every_fact_and_can_choose(finished: Path):
    everything = (await piped(finished, "show")).out
    assert harmless(everything)
    lines = everything.splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(1, len(lines) + 1))
    files = (await piped(finished, "show", "--kind", "filecommitted")).out.splitlines()
    assert len(files) == 2
    assert all(" wrote " in line for line in files)
    helpers = (await piped(finished, "show", "--agent", "helper", "--limit", "2")).out.splitlines()
    assert len(helpers) == 2
    assert all(" helper: " in line for line in helpers)
    reviews = (await piped(finished, "show", "--kind", "WorkReviewed")).out
    assert "accepted the work of helper" in reviews
    [first, *_] = (await piped(finished, "show", "--json")).out.splitlines()
    assert json.loads(first)["event"]["kind"] == "RunStarted"


async def test_show_is_cut_to_a_terminal(terminal: Opening, finished: Path):
    shown = await terminal(finished, "show", columns=60)
    assert await shown.end() == 0
    assert max(len(line) for line in shown.text.replace("\r", "").splitlines()) == 60


async def test_a_reader_that_has_enough_is_no_error(finished: Path):
    program = f"{shlex.join(PROGRAM)} show --json"
    written = shell("bash", "-c", f"(for n in 1 2 3; do {program}; done) | head -n 1", folder=finished)
    assert written.count("\n") == 1
    assert json.loads(written)["position"] == 1


async def test_logs_is_a_conversation(finished: Path):
    told = (await piped(finished, "logs", "helper")).out
    assert harmless(told)
    assert "=== boss/helper: writes notes" in told
    assert "You are helper." in told
    for part in ("from boss (assignment):", "write_file", "path: notes.txt", "[bold]markup[/bold]", "ends its turn"):
        assert part in told
    wrong = await piped(finished, "logs", "helpr")
    assert wrong.code == CONFIGURATION
    assert "no agent 'helpr' is in this run; nearest are" in wrong.err
    assert "helper" in wrong.err


async def test_report_replay_and_patch(finished: Path, tmp_path: Path):
    report = (await piped(finished, "report", "--format", "md")).out
    assert harmless(report)
    assert "completed" in report.splitlines()[0]
    proof = await piped(finished, "replay")
    assert proof.code == 0, proof.out
    assert "2 writes found in the workspace" in proof.out
    patch = (await piped(finished, "patch")).out
    target = tmp_path / "target"
    target.mkdir()
    shell("git", "apply", "-", folder=target, given=patch.encode())
    assert (target / "main.py").read_text() == "print('hello')\n"
    assert (target / "notes.txt").read_bytes() == (the_run(finished) / "deliverable" / "notes.txt").read_bytes()


async def test_a_report_is_a_page_data_or_a_picture_where_it_is_wanted(finished: Path, tmp_path: Path):
    page = await piped(finished, "report")
    written = Path(finished, page.out.strip())
    assert page.code == 0 and written == the_run(finished) / "report.html"
    assert written.read_text().startswith("<!doctype html>")
    data = await piped(finished, "report", "--format", "json")
    assert harmless(data.out)
    assert json.loads(data.out)["run"]["status"] == "completed"
    target = tmp_path / "organization.svg"
    assert (await piped(finished, "report", "--output", str(target))).code == 0
    assert target.read_text().startswith("<svg xmlns")
    printed = await piped(finished, "report", "--output", "-")
    assert printed.out == written.read_text()
    assert "Report" in json.loads((await piped(finished, "report", "--schema")).out)["$defs"]
    wrong = await piped(finished, "report", "--output", str(tmp_path / "nowhere" / "r.html"))
    assert wrong.code == CONFIGURATION and "another place with --output" in wrong.err
    for kind in ("pdf", ""):
        refused = await piped(finished, "report", "--format", kind)
        assert refused.code == CONFIGURATION and "html" in refused.err


async def test_a_run_is_sent_to_a_receiver_and_what_is_not_taken_is_said(finished: Path):
    with receiving() as receiver:
        sent = await piped(finished, "trace", "--endpoint", receiver.url)
        followed = await piped(finished, "trace", "--follow", "--endpoint", receiver.url)
    assert sent.code == followed.code == 0, sent.err + followed.err
    assert sent.out.startswith(f"sent {len(receiver.spans) // 2} spans") and followed.out == sent.out
    assert {span.name for span in receiver.spans} >= {"invoke_agent helper", "invoke_workflow megaagent"}
    nobody = await piped(finished, "trace", "--endpoint", receiver.url)
    assert nobody.code == RUN_FOLDER and "Connection refused" in nobody.err
    wrong = await piped(finished, "trace", "--endpoint", "localhost")
    assert wrong.code == CONFIGURATION and "http://127.0.0.1:4318" in wrong.err


async def test_fetch_makes_a_branch_and_touches_nothing_else(finished: Path, tmp_path: Path):
    repository = tmp_path / "repository"
    repository.mkdir()
    shell("git", "init", "-q", "-b", "main", folder=repository)
    (repository / "mine.txt").write_text("mine")

    def everything() -> dict[str, bytes]:
        kept = (path for path in repository.rglob("*") if path.is_file() and ".git/objects" not in str(path))
        return {str(path): path.read_bytes() for path in kept}

    before = everything()
    done = await piped(finished, "fetch", "--into", "repository", "--branch", "drafts/one")
    assert done.code == 0, done.err
    assert shell("git", "show", "drafts/one:main.py", folder=repository) == "print('hello')\n"
    new = {path for path, data in everything().items() if before.get(path) != data}
    assert all(path.endswith("refs/heads/drafts/one") for path in new)
    assert (await piped(finished, "fetch", "--into", "repository", "--branch", "drafts/one")).code == 0
    refused = await piped(finished, "fetch", "--into", "repository", "--branch", "-q")
    assert refused.code == 2
    assert "not a name that a branch can have" in refused.err
    nowhere = await piped(finished, "fetch", "--into", "megaagent-runs/nowhere")
    assert nowhere.code == 2
    assert "not a Git repository" in nowhere.err


async def test_what_can_be_said_to_a_run_that_is_going_on(terminal: Opening, tmp_path: Path):
    silent = Silent()
    async with SimServer({"small": silent}) as server:
        shown = await terminal(tmp_path, "run", GOAL, *names(server), "--attended", "--set", "limits.grace=0.0")
        await shown.until(lambda text: "1 call in flight" in text)
        assert "running" in (await piped(tmp_path, "ps")).out
        assert (await piped(tmp_path, "send", "boss", "be brief")).out == "delivered to boss\n"
        wrong = await piped(tmp_path, "send", "bos", "be brief")
        assert (wrong.code, wrong.out) == (CONFIGURATION, "")
        assert "no agent 'bos' is there; there are boss" in wrong.err
        assert (await piped(tmp_path, "pause", "--reason", "lunch")).code == 0
        await shown.until(lambda text: "paused: lunch" in text)
        assert "paused" in (await piped(tmp_path, "ps")).out
        assert (await piped(tmp_path, "unpause")).out == "goes on\n"
        for words in (("pause",), ("unpause",), ("stop",), ("budget", "--max-cost", "1")):
            unknown = await piped(tmp_path, *words, "--agent", "bos")
            assert (unknown.code, unknown.out) == (CONFIGURATION, "")
            assert "no agent 'bos' is there; there are boss" in unknown.err
        assert (await piped(tmp_path, "budget", "--max-cost", "7")).code == 0
        await shown.until(lambda text: "of $7.00" in text)
        assert "no question" in (await piped(tmp_path, "answer", "yes")).err
        assert (await piped(tmp_path, "stop", "--reason", "enough")).out == "stopping\n"
        assert await shown.end() == ENDINGS["stopped"]
    assert "stopped: enough" in shown.after()
    later = await piped(tmp_path, "pause")
    assert later.code == RUN_FOLDER
    assert "go on with it: megaagent resume" in later.err


async def test_a_simulated_model_is_served(terminal: Opening, tmp_path: Path):
    served = await terminal(tmp_path, "serve-sim", "gobang", "--port", "0", "--speed", "0", "--key", "s3")
    await served.until(lambda text: "--base-url http" in text)
    url = served.text.split("--base-url ")[1].split()[0]
    run = ("run", GOAL, "--model", "openai:gobang", "--base-url", url, "--max-tokens", "40000", "--quiet")
    refused = await piped(tmp_path, *run)
    assert refused.code == ENDINGS["paused"], refused.err
    assert "unauthorized" in refused.out
    played = await piped(tmp_path, *run, environ={"OPENAI_API_KEY": "s3"})
    assert played.code == ENDINGS["exhausted"], played.out
    served.process.terminate()
    assert await served.end() == 0
    assert "calls were answered" in served.text


@pytest.mark.parametrize("command", ["tree", "show", "report", "replay", "patch", "resume", "stop"])
async def test_without_a_run_there_is_nothing_to_read(tmp_path: Path, command: str):
    ended = await piped(tmp_path, command)
    assert ended.code == RUN_FOLDER
    assert ended.err == "megaagent: error: there is no run in megaagent-runs yet; start one with: megaagent run GOAL\n"
    assert list(tmp_path.iterdir()) == []
