"""megaagent logs: one agent's conversation, as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from megaagent import events as ev
from megaagent.cli.options import Seen
from megaagent.cli.words import clean, clean_block, duration
from megaagent.events import AgentId, Message, MessageId, Record, name_of

if TYPE_CHECKING:
    from megaagent.cli.sight import Sight

HELP = """What the agent was told, said and did, in order. With -f it goes on until the run ends.

\b
Examples:
  megaagent logs boss
  megaagent logs search 20261121-0931 | less
  megaagent logs -f search"""


def command(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="Its one-word name; verifier for the judge.")],
    seen: Seen,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what comes, until the run ends.")] = False,
) -> int:
    from megaagent.cli.following import followed
    from megaagent.cli.reading import agent_named

    with seen.sight() as sight:
        id = agent_named(sight, agent)
        records = followed(sight, agent=id) if follow else sight.records(agent=id)
        for line in conversation(sight, id, records):
            print(line)
    return 0


def conversation(sight: Sight, agent: AgentId, records: Iterable[Record]) -> Iterator[str]:
    """Everything that the agent was told, said and did, in order.

    Args:
        records: the agent's own.
    """
    first = next(sight.records(limit=1, bodies=False), None)
    post = Post(sight)
    for record in sight.records(kinds=[ev.AgentRecruited]):
        if isinstance(record.event, ev.AgentRecruited) and record.event.id == agent:
            yield f"=== {clean(agent)}: {clean(record.event.description)}"
            yield from _block(record.event.prompt)
    for record in records:
        heading, lines = _entry(record, post)
        if heading:
            since = duration(record.time - first.time) if first is not None else ""
            yield ""
            yield f"--- {since}, step {record.step}: {clean(heading)}"
            yield from lines


class Post:
    """Finds messages by their ids, which begin with the agent among whose facts they stand."""

    def __init__(self, sight: Sight):
        self._sight = sight
        self._known: dict[MessageId, Message] = {}
        self._read: dict[AgentId, int] = {}

    def found(self, id: MessageId) -> Message | None:
        """The message of that id, if the journal has it."""
        owner = id.partition("#")[0]
        if id not in self._known:
            for record in self._sight.records(self._read.get(owner, 0), agent=owner, kinds=[ev.MessageSent]):
                self._read[owner] = record.position
                if isinstance(record.event, ev.MessageSent):
                    self._known[record.event.message.id] = record.event.message
        return self._known.get(id)


def _entry(record: Record, post: Post) -> tuple[str, list[str]]:
    match record.event:
        case ev.CallIntended(mail=ids) if ids:
            letters = [letter for letter in map(post.found, ids) if letter is not None]
            lines = [line for letter in letters for line in _letter(letter)]
            return f"reads {len(ids)} of its mail", lines
        case ev.ModelAnswered() as answer:
            calls = [line for call in answer.calls for line in _call(call)]
            return f"answers ({answer.seconds:.1f}s, {answer.finish})", [*_block(answer.text), *calls]
        case ev.ToolReturned(tool=tool, text=text, ok=ok):
            return f"{tool} {'answered' if ok else 'refused'}", list(_block(text))
        case ev.AgentCorrected(text=text):
            return "is corrected", list(_block(text))
        case ev.ContextCompacted(step=step, summary=summary):
            return f"what came before step {step + 1} is summarized", list(_block(summary))
        case ev.TurnEnded(how=how, names=names, reason=reason):
            whom = f" for {', '.join(map(name_of, names))}" if names else ""
            return f"ends its turn: {how}{whom}", list(_block(reason))
        case ev.TurnRefused(how=how, reasons=reasons):
            return f"{how} is refused", [f"  - {clean(reason)}" for reason in reasons]
        case ev.CallFailed(fault=fault, detail=detail):
            return f"its model could not be asked: {fault}", list(_block(detail))
        case ev.ProgramEnded(exit_code=code, output=output):
            return f"its program ended, exit code {code}", list(_block(output))
        case _:
            return "", []


def _letter(message: Message) -> Iterator[str]:
    yield f"  from {clean(name_of(message.sender))} ({message.kind}):"
    yield from (f"  {line}" for line in _block(message.text))


def _call(call: ev.ToolCall) -> Iterator[str]:
    """A call with its arguments, long texts as lines of their own."""
    import msgspec

    try:
        given: Any = msgspec.json.decode(call.arguments)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        given = call.arguments
    if not isinstance(given, dict):
        yield f"  {clean(call.name)} with what is no JSON object:"
        yield from (f"  {line}" for line in _block(call.arguments))
        return
    yield f"  {clean(call.name)}"
    for name, value in given.items():  # pyright: ignore[reportUnknownVariableType]
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        if "\n" in text:
            yield f"    {clean(str(name))}:"  # pyright: ignore[reportUnknownArgumentType]
            yield from (f"    {line}" for line in _block(text))
        else:
            yield f"    {clean(str(name))}: {clean(text)}"  # pyright: ignore[reportUnknownArgumentType]


def _block(text: str) -> Iterator[str]:
    return (f"  {line}".rstrip() for line in clean_block(text).splitlines())
