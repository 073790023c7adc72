"""Tools from files and from installed packages, and what cannot be one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from megaagent.errors import ConfigurationError, ToolError
from megaagent.events import ToolCall
from megaagent.tools import toolbox
from megaagent.tools.loading import load, whole_names

GOOD = '''
"""Tools of a shop."""
import asyncio
from dataclasses import dataclass
from typing import Literal
import neighbour

@dataclass
class Line:
    article: str
    pieces: int = 1

def total(lines: list[Line], currency: Literal["EUR", "USD"] = "EUR") -> str:
    """Add up an order.

    Args:
        lines: what is ordered.
    """
    return f"{sum(line.pieces for line in lines) * neighbour.PRICE} {currency}"

async def later(seconds: float) -> int:
    """Wait a little."""
    await asyncio.sleep(seconds)
    return 7

def _helper(x):
    return x
'''


@pytest.fixture(autouse=True)
def _path_as_before() -> Iterator[None]:
    path, modules = sys.path.copy(), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def written(folder: Path, text: str, name: str = "shop.py") -> str:
    (folder / "neighbour.py").write_text("PRICE = 3\n")
    (folder / name).write_text(text)
    return str(folder / name)


async def test_the_public_functions_of_a_file_are_tools(tmp_path: Path):
    total, later = load([written(tmp_path, GOOD)])
    assert (total.name, total.description, later.name) == ("total", "Add up an order.", "later")
    assert total.spec.parameters["properties"]["lines"]["description"] == "what is ordered."
    order = '{"lines": [{"article": "chair", "pieces": 4}, {"article": "table"}], "currency": "USD"}'
    assert await total.answer(ToolCall("1", "total", order), {}) == "15 USD"
    assert await later.answer(ToolCall("1", "later", '{"seconds": 0}'), {}) == "7"
    with pytest.raises(ToolError, match="do not fit"):
        await total.answer(ToolCall("1", "total", '{"lines": 4}'), {})


def test_a_list_says_which_are_tools(tmp_path: Path):
    listed = GOOD + "\nfrom megaagent import Tool\nTOOLS = [later, Tool(total, name='sum_up', reads=True)]\n"
    assert [(tool.name, tool.reads) for tool in load([written(tmp_path, listed)])] == [
        ("later", False),
        ("sum_up", True),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(x):\n    'Do.'\n", "tool 'f': give parameter 'x' a type"),
        ("def f(x: int):\n    return x\n", "tool 'f': write a docstring"),
        ("def f(x: 'Nothing'):\n    'Do.'\n", "tool 'f': its parameters cannot be read: name 'Nothing'"),
        ("def f(*x: int):\n    'Do.'\n", r"\* and \*\* are not possible"),
        ("def f(x: object):\n    'Do.'\n", "cannot be given as JSON|shop.py"),
        ("x = 1\n", "defines no public function"),
        ("TOOLS = 3\n", "is int: give a function"),
        ("TOOLS = [3]\n", "has a int: give a function or a Tool"),
        ("import nothing_of_that_name\n", r"shop.py, line 1: ModuleNotFoundError"),
        ("x = 1\n\ny = x / 0\n", "shop.py, line 3: ZeroDivisionError"),
        ("def f(:\n", "shop.py, line 1: SyntaxError"),
        ("raise SystemExit(3)\n", "shop.py, line 1: SystemExit"),
        ("def read_file(x: int):\n    'Do.'\n", "tool 'read_file': MegaAgent has one of this name"),
    ],
)
def test_what_cannot_be_a_tool_is_told_with_its_place(tmp_path: Path, text: str, words: str):
    with pytest.raises(ConfigurationError, match=words):
        toolbox(load([written(tmp_path, text)]))


def test_a_file_or_package_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="there is no file"):
        load([str(tmp_path / "nothing.py")])
    with pytest.raises(ConfigurationError, match=r"no installed package offers 'nothing'.*name ends in \.py"):
        load(["nothing"])


def test_an_installed_package_offers_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    info = tmp_path / "shop-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[megaagent.tools]\nshop = shop:total\nwhole = shop\nbad = shop:nothing\n")
    written(tmp_path, GOOD)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert [tool.name for tool in load(["shop"])] == ["total"]
    assert [tool.name for tool in load(["whole"])] == ["total", "later"]
    with pytest.raises(ConfigurationError, match=r"bad \(shop:nothing\) cannot be imported: AttributeError"):
        load(["bad"])
    with pytest.raises(ConfigurationError, match="did you mean shop"):
        load(["shopp"])


def test_paths_hold_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert whole_names(["a.py", "shop"]) == (str(tmp_path / "a.py"), "shop")


HOSTILE = '''
import asyncio

class Silent(BaseException):
    def __str__(self):
        raise Silent

async def untold() -> str:
    """Raise what cannot tell itself."""
    raise Silent

def untold_in_a_thread() -> str:
    """The same."""
    raise Silent

async def cancelled() -> str:
    """Cancel itself."""
    raise asyncio.CancelledError

async def late() -> str:
    """Meet a limit of its own."""
    raise TimeoutError("the shop is closed")

async def leaves() -> str:
    """Leave the program."""
    raise SystemExit(0)

def round_and_round() -> list:
    """Return what is no JSON."""
    ring = []
    ring.append(ring)
    return ring
'''


async def test_however_a_function_fails_only_its_call_does(tmp_path: Path):
    (tmp_path / "hostile.py").write_text(HOSTILE)
    told: dict[str, str] = {}
    for tool in load([str(tmp_path / "hostile.py")]):
        with pytest.raises(ToolError) as error:
            await tool.answer(ToolCall("1", tool.name, "{}"), {})
        told[tool.name] = str(error.value)
    assert told["untold"] == "untold failed: Silent: an error that cannot be told"
    assert told["untold_in_a_thread"] == "untold_in_a_thread failed: Silent: an error that cannot be told"
    assert told["cancelled"] == "cancelled failed: CancelledError"
    assert told["late"] == "late failed: TimeoutError: the shop is closed"
    assert told["leaves"] == "leaves failed: SystemExit: 0"
    assert "RecursionError" in told["round_and_round"]
    (tmp_path / "at_import.py").write_text(HOSTILE + "raise Silent")
    with pytest.raises(ConfigurationError, match=r"line .*: Silent: an error that cannot be told"):
        load([str(tmp_path / "at_import.py")])
