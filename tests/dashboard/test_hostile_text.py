"""What agents write is shown as text, in a real browser: none of it runs, none of it becomes a part of the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.dashboard.browsing import browser, chromium, visit
from tests.dashboard.made import BEGAN, Hand, beginning, begun

from megaagent import events as ev
from megaagent.dashboard.address import Place
from megaagent.dashboard.serving import serving
from megaagent.errors import ToolError
from megaagent.events import BOSS, ENGINE, Fact, Message
from megaagent.folder import RunFolder
from megaagent.journal import SQLiteJournal
from megaagent.workspace import Committed, Stamp

OWN = "window.owned=1"  # what each of them would do
PAYLOADS = [
    f"<script>{OWN}</script>",
    f"<img src=x onerror={OWN}>",
    f"<svg onload={OWN}>",
    f"<svg><script>{OWN}</script></svg>",
    f"<svg><animate onbegin={OWN} attributeName=x dur=1s>",
    f"<iframe srcdoc='<script>parent.{OWN}</script>'></iframe>",
    f"<iframe src=javascript:{OWN}></iframe>",
    f"<body onload={OWN}>",
    f"<details open ontoggle={OWN}>x</details>",
    f"<video><source onerror={OWN}></video>",
    f"<input autofocus onfocus={OWN}>",
    f"<a href=javascript:{OWN}>click</a>",
    f"[click](javascript:{OWN})",
    f"![x](x'onerror='{OWN})",
    "![remote](http://evil.example/pixel.png)",
    "<img src=http://evil.example/pixel.png>",
    "<link rel=stylesheet href=http://evil.example/x.css>",
    "<style>@import 'http://evil.example/x.css'; body{display:none}</style>",
    "<meta http-equiv=refresh content='0;url=http://evil.example/'>",
    "<base href=http://evil.example/>",
    f"<form action=javascript:{OWN}><button id=go>x</button></form>",
    f"<object data=javascript:{OWN}></object>",
    f"<embed src=javascript:{OWN}>",
    f"<math><mtext></p><img src=x onerror={OWN}></mtext></math>",
    f"<noscript><p title='</noscript><img src=x onerror={OWN}>'>",
    f"'\"><img src=x onerror={OWN}>",
    f"</textarea></title></script><script>{OWN}</script>",
    f"`${{{OWN}}}`",
    f"{{{{constructor.constructor('{OWN}')()}}}}",
    f"javascript:{OWN}",
    f"data:text/html,<script>{OWN}</script>",
    f"<template><script>{OWN}</script></template><x-a onclick={OWN}>",
    "expression(alert(1)); background:url(http://evil.example/x)",
    "\u202egnp.exe\u2066 \u200b<b>bold</b>",
    "__proto__",
    "constructor",
    f"- [ ] [x](javascript:{OWN})\n> ![x](https://evil.example/p.png)\n\n| a | b |\n|---|---|\n| <b> | [y](data:x) |",
    f"# <img src=x onerror={OWN}>\n**<svg onload={OWN}>** ~~<i>~~",
]
VIEWS = [
    "organization", "organization?layout=circles&talk=1&waits=1", "timeline?critical=1", "files", "files?show=history",
    "messages", "debts", "debts?status=reported", "cost", "interventions", "questions", "approvals", "journal",
]  # fmt: skip


PROSE = ("messages", "debts", "questions")  # views in which Markdown is drawn


def drawn(text: str) -> str:
    """A line of a text as it is read when its Markdown is drawn."""
    marks = re.sub(r"[`*~]|^(#|- \[ \]) ", "", text.partition("\n")[0])
    return f"☐ {marks}" if text.startswith("- [ ]") else marks


async def hostile_run(runs: Path) -> tuple[RunFolder, list[str], list[str]]:
    """A run in which every text that an agent can choose is a payload; with the agents and the files that it has."""
    folder, workspace = begun(runs)
    clock = Hand()
    journal = SQLiteJournal.create(folder.journal, clock, durability="off")
    agents, files = [], []
    await journal.append(beginning(folder.id, PAYLOADS[0], workspace.head()))
    for number, payload in enumerate(PAYLOADS):
        clock.time += 1
        agent = f"{BOSS}/{payload.replace('/', '∕')}{number}"
        agents.append(agent)
        path = f"{payload.replace('/', '∕').replace(':', '.').replace(chr(92), '.')[:60]}{number}.md"
        try:
            done = workspace.write(path, payload.encode(), None, Stamp(BOSS, folder.id, 1, 0, BEGAN + number))
            assert isinstance(done, Committed)
            files.append(path)
        except ToolError:
            path, done = "", None
        mail = Message(f"{agent}#1.1", agent, (BOSS, agent), payload)
        call, calls = f"{agent}#1", (ev.ToolCall("1", payload, payload),)
        facts: list[ev.AnyEvent] = [
            ev.AgentRecruited(agent, payload, payload),
            ev.AssignmentOpened(f"{BOSS}#1.{number}", agent, BOSS, payload),
            ev.MessageSent(mail),
            ev.CallIntended(call, "step", payload, "", (mail.id,)),
            ev.ModelAnswered(call, payload, calls, payload, payload, payload),
            ev.ToolReturned(0, "1", payload, payload, False),
            ev.ChecklistChanged((ev.ChecklistItem(payload), ev.ChecklistItem(payload, True))),
            ev.ProgramStarted(payload, (payload, payload), payload, "0" * 40),
            ev.ProgramEnded(payload, 1, 1.0, payload),
            ev.ConflictMet(payload, None, "0" * 40),
            ev.AgentNudged(agent, payload, "nudge", payload),
            ev.QuestionAsked(f"{agent}#1.9", payload),
            ev.QuestionAnswered(f"{agent}#1.9", payload, "engine"),
            ev.ApprovalAsked(f"{agent}#1.8", payload, payload, (payload, payload), payload, BEGAN, "refuse"),
            *([ev.ApprovalAnswered(f"{agent}#1.8", "refuse", payload)] if number % 2 else []),
            ev.HumanSpoke(payload, payload),
            ev.CheckRun(payload, False, payload),
            ev.NoteShared(payload),
        ]
        if done is not None:
            facts.append(ev.FileCommitted(path, done.revision, done.digest, done.size))
        if number % 2:
            facts.append(ev.WorkReported((f"{BOSS}#1.{number}",), payload))
        facts.append(ev.TurnEnded("wait", (BOSS, agent), payload))
        await journal.append([Fact(ENGINE if i == 0 else agent, 1, event) for i, event in enumerate(facts)])
    await journal.append([Fact(ENGINE, 0, ev.RunPaused(PAYLOADS[1]))])
    await journal.close()
    workspace.close()
    return folder, agents, files


STRANGERS = """() => {
  const ours = new Set(["/static/icon.svg"]);
  const strange = [...document.querySelectorAll(
    "iframe, object, embed, video, audio, svg, math, base, template, form[action], style, x-a, source, " +
    "[onerror], [onload], [onclick]")];
  for (const it of document.querySelectorAll("img")) if (!ours.has(it.getAttribute("src"))) strange.push(it);
  for (const it of document.querySelectorAll("script[src], link[href]"))
    if (!(it.getAttribute("src") ?? it.getAttribute("href")).startsWith("/static/")) strange.push(it);
  for (const it of document.querySelectorAll("script:not([src])")) strange.push(it);
  const names = "class href title rel target".split(" ");
  const out = (it) => it.className === "out" && /^https?:\\/\\//.test(it.getAttribute("href")) &&
    it.target === "_blank" &&
    it.relList.contains("noopener") && it.relList.contains("noreferrer") &&
    it.getAttributeNames().every((name) => names.includes(name));
  for (const it of document.querySelectorAll("a[href]"))
    if (!it.getAttribute("href").startsWith("#") && !out(it)) strange.push(it);
  return { owned: window.owned ?? null, strange: strange.map((it) => it.outerHTML.slice(0, 200)) };
}"""


@pytest.mark.slow
async def test_no_payload_runs_in_any_view(tmp_path: Path) -> None:
    chromium()
    folder, agents, files = await hostile_run(tmp_path)
    assert len(PAYLOADS) >= 32 and len(files) >= 20
    async with serving(tmp_path, Place()) as links, browser() as started, visit(started, links.full) as page:
        await page.seen(PAYLOADS[0])  # the goal, in the list of runs
        checked = 0

        async def check(where: str, *texts: str) -> None:
            nonlocal checked
            for text in texts:
                await page.seen(drawn(text) if where in PROSE else text)
            found = await page.page.evaluate(STRANGERS)
            assert found == {"owned": None, "strange": []}, where
            assert not page.wrong, (where, page.wrong)
            checked += 1

        await check("runs")
        shown = {
            "messages": PAYLOADS[-5:], "debts": PAYLOADS[:4], "interventions": PAYLOADS[-3:], "journal": PAYLOADS[-1:],
            "questions": PAYLOADS, "approvals": PAYLOADS, "cost": PAYLOADS[:3], "files": files,
        }  # fmt: skip
        for view in VIEWS:
            await page.go(f"#/run/{folder.id}/{view}")
            await page.page.wait_for_timeout(250)
            await check(view, *shown.get(view, []))
        for agent, payload in zip(agents, PAYLOADS, strict=True):
            for tab in ("", "Conversation", "Mail", "Role", "Facts"):
                address = await page.page.evaluate(
                    "([run, agent, tab]) => `#/run/${run}/organization?${new URLSearchParams({ agent, tab })}`",
                    [folder.id, agent, tab],
                )
                await page.go(address)
                await page.page.wait_for_function(
                    "([agent, tab]) => document.querySelector('#panel .path')?.textContent.startsWith(agent)"
                    " && (!tab || document.querySelector('#panel [aria-selected=true]')?.textContent === tab)",
                    arg=[agent, tab],
                )
                if tab != "Mail":  # it has read its mail
                    await page.seen(" ".join(payload.split()) if tab == "Facts" else drawn(payload), "#panel .scroll")
                await check(f"{agent} {tab}")
        for path in files[::3]:
            for part in ("", "history"):
                address = await page.page.evaluate(
                    "([run, path, show]) => `#/run/${run}/files?${new URLSearchParams({ path, show })}`",
                    [folder.id, path, part],
                )
                await page.go(address)
                await page.page.wait_for_timeout(80)
                await check(f"{path} {part}", path)
        assert checked > 100


async def test_the_page_refuses_what_the_policy_forbids(tmp_path: Path) -> None:
    """The policy holds by itself: even code of ours could not put markup into the page."""
    chromium()
    await hostile_run(tmp_path)
    async with serving(tmp_path, Place()) as links, browser() as started, visit(started, links.full) as page:
        await page.seen("1 run")
        refused = await page.page.evaluate(
            """() => {
              const tries = [
                () => { document.body.innerHTML = "<img src=x>"; },
                () => document.body.insertAdjacentHTML("beforeend", "<p>x</p>"),
                () => document.body.setAttribute("onclick", "window.owned=1"),
                () => { document.createElement("iframe").srcdoc = "<p>x</p>"; },
                () => new DOMParser().parseFromString("<p>x</p>", "text/html"),
                () => { document.createElement("script").textContent = "window.owned=1"; },
                () => document.write("<p>x</p>"),
              ];
              return tries.map((attempt) => { try { attempt(); return "done"; } catch (error) { return error.name; } });
            }"""
        )
        assert refused.count("done") == 0, refused
