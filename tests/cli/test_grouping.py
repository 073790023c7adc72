"""Options in groups: the parser sees each once, the command gets them together."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer

from megaagent.cli import COMMANDS, parser_of
from megaagent.cli.grouping import Group, flat


@dataclass(frozen=True)
class Size(Group):
    wide: Annotated[int, typer.Option("--wide")] = 3
    high: Annotated[int | None, typer.Option("--high")] = None


def command(
    name: Annotated[str, typer.Argument()], size: Size, loud: Annotated[bool, typer.Option("--loud")] = False
) -> int:
    return len(name) * size.wide * (size.high or 1) + loud


def test_a_group_is_spread_and_put_together_again() -> None:
    spread = flat(command)
    assert list(inspect.signature(spread).parameters) == ["name", "wide", "high", "loud"]
    assert spread(name="ab", wide=5, high=None, loud=True) == 11


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_says_an_option_twice(name: str) -> None:
    options = [word for param in parser_of(name).params for word in param.opts]
    assert len(options) == len(set(options))
