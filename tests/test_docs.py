"""Documentation that can fail: commands, links, tables and code blocks are held against the program."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import megaagent
from megaagent.cli import COMMANDS, application
from megaagent.cli.exits import MEANINGS
from megaagent.settings import from_tree

ROOT = Path(__file__).parent.parent
DOCS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
NEEDS_A_KEY = "<!-- needs a key -->"

FRONT_DOOR = [
    "run",
    "start",
    "resume",
    "Run",
    "Result",
    "replay",
    "Settings",
    "Tool",
    "Check",
    "Record",
    "Script",
    "MegaAgentError",
    "ConfigurationError",
    "RunError",
    "ToolError",
]

HEAVY = ["aiohttp", "genai_prices", "msgspec", "pygit2", "pytest", "rich", "sqlite3", "typer", "asyncio"]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(path: Path, language: str) -> list[tuple[str, bool]]:
    """The fenced blocks of a language, each with whether it says that it needs a key."""
    found = re.finditer(
        rf"^({NEEDS_A_KEY}\n)?( *)```{language}\n(.*?)^ *```$", path.read_text(), re.MULTILINE | re.DOTALL
    )
    return [(block[3], block[1] is not None) for block in found]


def all_blocks(language: str) -> list[Any]:
    return [
        pytest.param(path, text, keyed, id=f"{name_of(path)}-{number}")
        for path in DOCS
        for number, (text, keyed) in enumerate(blocks(path, language), 1)
    ]


# -- the README's two commands ----------------------------------------------------------------------------------------


def test_the_readme_begins_with_the_two_commands() -> None:
    assert [text for text, _ in blocks(ROOT / "README.md", "sh")][:2] == ["./dev demo\n", "./dev test\n"]


def test_dev_knows_every_chore_that_is_named() -> None:
    chores = set(re.findall(r"^([a-z]+)\)", (ROOT / "dev").read_text(), re.MULTILINE))
    named = {word for path in DOCS for word in re.findall(r"\./dev ([a-z]+)", path.read_text())}
    assert {"demo", "test"} <= named <= chores


# -- links and files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCS, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    broken = [link for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()) if not _resolves(path, link)]
    assert broken == []


def _resolves(path: Path, link: str) -> bool:
    if link.startswith(("https://", "http://")):
        return True
    target, _, anchor = link.partition("#")
    file = (path.parent / target).resolve() if target else path
    return file.exists() and (not anchor or anchor in _anchors(file))


def _anchors(file: Path) -> set[str]:
    """The anchors that headings get: small letters, spaces as hyphens, no punctuation."""
    heads = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def test_every_page_is_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            target = (page.parent / link).resolve()
            waiting += sorted(target.glob("*.md")) if target.is_dir() else [target] * (target.suffix == ".md")
    assert set(DOCS) <= seen


def test_files_that_the_map_names_are_there() -> None:
    cells = re.findall(r"^\| (`[^|]*`) \|", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE)
    named = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    assert {"events.py", "organization/", "proof.py", "tests/test_docs.py"} <= set(named)
    places = (ROOT, ROOT / "src" / "megaagent")
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


def test_the_picture_needs_nothing_from_the_network() -> None:
    picture = ROOT / "docs" / "picture.svg"
    text = picture.read_text()
    assert picture.stat().st_size < 200_000
    assert set(re.findall(r"https?://[^\"')\s]+", text)) == {"http://www.w3.org/2000/svg"}
    assert "@import" not in text
    assert "@font-face" not in text
    assert "simulation" in text


# -- commands ---------------------------------------------------------------------------------------------------------


def spoken() -> Iterator[tuple[str, list[str]]]:
    """Every command line in the docs that begins with megaagent: its page, its words."""
    for path in DOCS:
        text = path.read_text()
        lines = [line for block, _ in blocks(path, "console") for line in block.splitlines() if "$ " in line]
        lines += [code for code in re.findall(r"`([^`\n]+)`", text) if code.startswith("megaagent ")]
        for line in lines:
            for part in re.split(r"\s\|\s", line.partition("#")[0].replace("$ ", "")):
                words = shlex.split(part)
                if words and words[0].rpartition("/")[2] == "megaagent":
                    yield name_of(path), words[1:]


def test_commands_and_options_in_the_docs_exist() -> None:
    group: Any = None
    options = {}
    for name in COMMANDS:
        group = typer.main.get_command(application(name))
        options[name] = {word for parameter in group.commands[name].params for word in parameter.opts} | {"--help"}
    lines = [(page, words) for page, words in spoken() if words[0] not in ("COMMAND", "--help")]
    assert {words[0] for _, words in lines} == set(COMMANDS)
    wrong = [
        (page, word)
        for page, (command, *words) in lines
        for word in words
        if word.startswith("--") and word not in options[command]
    ]
    assert wrong == []


# -- tables that come from the program --------------------------------------------------------------------------------


def test_the_reference_is_what_the_tables_say() -> None:
    command = [sys.executable, "-W", "error", str(ROOT / "scripts" / "reference.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stderr, done.returncode) == ("", 0)


def test_the_exit_codes_of_the_guide_are_those_of_the_program() -> None:
    section = (ROOT / "docs/guide.md").read_text().partition("\n## Exit codes\n")[2].partition("\n## ")[0]
    told = {int(code): words for code, words in re.findall(r"^\| (\d+) \| (.*) \|$", section, re.MULTILINE)}
    assert told == MEANINGS


# -- code in the docs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "text", "keyed"), all_blocks("python"))
def test_python_in_the_docs(path: Path, text: str, keyed: bool, tmp_path: Path) -> None:
    if keyed:
        for node in ast.walk(ast.parse(text)):  # what it imports is there
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("megaagent"):
                exec(compile(ast.Module([node], []), name_of(path), "exec"), {})
        return
    command = [sys.executable, "-W", "error", "-c", text]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize(("path", "text", "keyed"), all_blocks("toml"))
def test_settings_in_the_docs(path: Path, text: str, keyed: bool) -> None:
    assert from_tree(tomllib.loads(text), name_of(path), text) != megaagent.Settings()


# -- the front door ---------------------------------------------------------------------------------------------------


def test_the_front_door_is_small_and_deliberate() -> None:
    assert megaagent.__all__ == FRONT_DOOR
    assert sorted(FRONT_DOOR) == dir(megaagent)
    for name in FRONT_DOOR:
        assert getattr(megaagent, name).__name__ == name


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = f"import sys, megaagent; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
