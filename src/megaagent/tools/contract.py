"""What a tool is: a typed function whose signature and docstring make what the model is shown.

The first parameter of a built-in tool may be annotated with a protocol of this room (`People`, `Files`, ...): a part of
the caller's desk, which the engine injects and the model never sees. Every other parameter is an argument of the call.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, get_type_hints

import msgspec

from megaagent.errors import ConfigurationError, ToolError
from megaagent.events import ToolCall
from megaagent.models.contract import ToolSpec

NAME = re.compile(r"^[a-zA-Z][a-zA-Z0-9_-]{0,63}$")


class Tool:
    """An action offered to agents.

    Args:
        function: sync or async; a sync one runs in a thread, so that it may block. What it returns is shown to the
            model as text (JSON when it is not a string); what it raises is shown as an error.
        name: how the model calls it; the function's name when not given.
        reads: it only looks, so it may run side by side with other reads.
        seconds: after which a call is answered without its result (a thread cannot be stopped, and goes on).
        repeatable: running it twice does no harm, so a call whose outcome was lost in a crash is simply made again.

    Raises:
        ConfigurationError: the function has no docstring, an untyped parameter, or a name that a model cannot use.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        reads: bool = False,
        repeatable: bool = False,
        seconds: float = 600.0,
    ):
        self.function = function
        self.name = name or getattr(function, "__name__", "")
        self.seconds = seconds
        self.reads = reads
        self.repeatable = repeatable or reads
        if not NAME.match(self.name):
            raise ConfigurationError(
                f"tool {self.name!r}: a name is a letter, then letters, digits, _ or -, 64 at most"
            )
        summary, arguments = _read_docstring(inspect.getdoc(function) or "")
        if not summary:
            raise ConfigurationError(
                f"tool {self.name!r}: write a docstring; its text tells the model what the tool does"
            )
        self.description = summary
        try:
            self.needs, self.arguments = _arguments_of(self.name, function, arguments)
        except (NameError, TypeError, ValueError) as error:  # a type that is not there, a signature that is not told
            raise ConfigurationError(f"tool {self.name!r}: its parameters cannot be read: {error}") from error
        self.spec = ToolSpec(self.name, summary, _schema_of(self.arguments))
        self._decoder = msgspec.json.Decoder(self.arguments)

    async def answer(self, call: ToolCall, desk: Mapping[type, object]) -> str:
        """Run one call.

        Args:
            call: as the model made it.
            desk: the parts of the caller's desk, by protocol.

        Raises:
            ToolError: the arguments do not fit, or the tool refused or failed; the text is for the model.
        """
        arguments = msgspec.structs.asdict(self._decoded(call.arguments))
        if self.needs is not None:
            return await self.function(desk[self.needs], **arguments)  # one of ours: a bug stays loud
        limit = asyncio.timeout(self.seconds)
        try:
            async with limit:
                result = await self._run(arguments)
            return result if isinstance(result, str) else msgspec.json.encode(result).decode()
        except ToolError:
            raise
        except BaseException as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # the engine ends, and not the function by itself
            if isinstance(error, TimeoutError) and limit.expired():
                raise ToolError(
                    f"{self.name} gave no answer within {self.seconds:g} s; whether it took effect is unknown."
                ) from error
            # Whatever a user's function does, also to leave the program, ends its call and not the run.
            raise self._failed(error) from error

    async def _run(self, arguments: dict[str, Any]) -> Any:
        if inspect.iscoroutinefunction(self.function):
            return await self.function(**arguments)

        def call() -> tuple[Any, BaseException | None]:
            # A thread's future cannot carry every exception (StopIteration would leave it waiting for ever).
            try:
                return self.function(**arguments), None
            except BaseException as error:
                return None, error

        result, error = await asyncio.to_thread(call)
        if error is not None:
            raise self._failed(error) from error
        return await result if inspect.isawaitable(result) else result

    def _failed(self, error: BaseException) -> ToolError:
        return ToolError(f"{self.name} failed: {in_words(error)}")

    def given(self, arguments: str) -> dict[str, Any]:
        """The arguments of a call as plain data, complete with the defaults of what was left out.

        Raises:
            ToolError: they are not JSON or do not fit; says where, and what the parameters are.
        """
        return msgspec.to_builtins(msgspec.structs.asdict(self._decoded(arguments)))

    def misfit(self, problem: str) -> ToolError:
        """What the model is told of arguments that do not fit."""
        parameters = msgspec.json.encode(self.spec.parameters).decode()
        return ToolError(
            f"{problem}. Nothing was done. Call {self.name} again with arguments of this schema: {parameters}"
        )

    def _decoded(self, arguments: str) -> msgspec.Struct:
        try:
            return self._decoder.decode(arguments or "{}")
        except msgspec.ValidationError as error:
            raise self.misfit(f"the arguments do not fit: {error}") from error
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            raise self.misfit(f"the arguments are not valid JSON: {error}") from error


def in_words(error: BaseException) -> str:
    """An error of a user's code, which may be one that cannot tell what it is."""
    try:
        text = str(error)
    except BaseException:
        text = "an error that cannot be told"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class Toolbox:
    """The tools that all agents of a run are offered, in one fixed order so that the prompt's prefix stays the same.

    Attributes:
        specs, names: those of all tools.
    """

    def __init__(self, tools: list[Tool]):
        self.fill(tools)

    def fill(self, tools: Sequence[Tool]) -> None:
        """Offer these from now on: a person has approved that the tools of a server are others.

        Raises:
            ConfigurationError: two have one name; it is as before.
        """
        named = {tool.name: tool for tool in tools}
        if len(named) < len(tools):
            seen: set[str] = set()
            double = next(tool.name for tool in tools if tool.name in seen or seen.add(tool.name))
            raise ConfigurationError(f"tool {double!r} is given twice; rename one of them")
        self._tools = named
        self.specs = tuple(tool.spec for tool in tools)
        self.names = tuple(named)

    @property
    def tools(self) -> list[Tool]:
        """All of them."""
        return list(self._tools.values())

    def find(self, name: str) -> Tool:
        """The tool of that name.

        Raises:
            ToolError: there is none; names the nearest.
        """
        tool = self._tools.get(name)
        if tool is not None:
            return tool
        near = get_close_matches(name[:80], self._tools, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        raise ToolError(f"there is no tool called {name[:80]!r}. {hint}The tools are: {', '.join(self._tools)}.")

    def reads(self, call: ToolCall) -> bool:
        """Whether the call only looks (an unknown tool changes nothing either)."""
        tool = self._tools.get(call.name)
        return tool is None or tool.reads

    def acts_once(self, call: ToolCall) -> bool:
        """Whether the call has effects that the engine cannot look up, nor may it make it twice: a user's tool."""
        tool = self._tools.get(call.name)
        return tool is not None and tool.needs is None and not tool.repeatable


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """A Google-style docstring as its summary and its `Args:` by name."""
    summary, _, rest = text.partition("\nArgs:\n")
    arguments: dict[str, str] = {}
    name = None
    for line in rest.splitlines():
        if line and not line.startswith(" "):
            break  # the next section
        match = re.match(r"^ {4}(\w+): (.*)$", line)
        if match:
            name = match[1]
            arguments[name] = match[2].strip()
        elif name is not None and line.strip():
            arguments[name] += " " + line.strip()
    summary = re.split(r"\n(?:Returns|Raises|Yields):\n", summary)[0]
    return " ".join(summary.split()), arguments


def _arguments_of(
    name: str, function: Callable[..., Any], described: Mapping[str, str]
) -> tuple[type | None, type[msgspec.Struct]]:
    hints = get_type_hints(function, include_extras=True)
    needs = None
    fields: list[Any] = []
    for index, parameter in enumerate(inspect.signature(function).parameters.values()):
        if parameter.name not in hints or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigurationError(
                f"tool {name!r}: give parameter {parameter.name!r} a type; * and ** are not possible"
            )
        hint = hints[parameter.name]
        if index == 0 and getattr(hint, "__desk__", False):
            needs = hint
            continue
        meta = msgspec.Meta(description=described.get(parameter.name))
        field: tuple[Any, ...] = (parameter.name, Annotated[hint, meta] if meta.description else hint)
        fields.append(field if parameter.default is parameter.empty else (*field, parameter.default))
    try:
        struct = msgspec.defstruct(f"{name}_arguments", fields, forbid_unknown_fields=True, kw_only=True)
        msgspec.json.schema(struct)
    except TypeError as error:
        raise ConfigurationError(f"tool {name!r}: a parameter's type cannot be given as JSON: {error}") from error
    return needs, struct


def _schema_of(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema of a struct as an object, without the indirection and the titles that models do not need."""
    schema = msgspec.json.schema(struct)
    definitions = schema.pop("$defs", {})
    schema = definitions.pop(struct.__name__, schema)
    schema.pop("title", None)
    if definitions:
        schema["$defs"] = definitions
    return schema
