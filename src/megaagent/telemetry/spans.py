"""Spans of a run: one trace for each turn of an agent, with links to the turns that woke it.

    invoke_workflow     the run, a trace of its own; each turn links to it
    invoke_agent        a turn: from the first call after mail to `wait` or `terminate`; the root of its trace
      chat              a model call
      execute_tool      a call of a tool
      create_agent      a recruit

Ids are made from the run's id and the span's place in it, so the same run gives the same spans, however often they are
sent.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, Literal, TypeAlias

import msgspec

from megaagent import events as ev
from megaagent.events import ENGINE, VERIFIER, AgentId, CallId, MessageId, Record, Struct, name_of
from megaagent.telemetry.names import provider_and_model

Value: TypeAlias = str | int | float | bool | tuple[str, ...]
LONGEST: Final = 60_000  # characters of one content attribute
MOST_LINKS: Final = 120  # of one turn; collectors take 128


class Context(Struct, frozen=True):
    """Where a span is: its trace and its id."""

    trace: int
    span: int


class Happening(Struct, frozen=True):
    """A point in time within a span."""

    name: str
    time: float
    attributes: dict[str, Value]


class Span(Struct, frozen=True):
    """A span that has ended; times are seconds since 1970.

    Attributes:
        error: which class of error it ended with, None when with none.
    """

    name: str
    context: Context
    parent: Context | None
    start: float
    end: float
    attributes: dict[str, Value]
    kind: Literal["internal", "client"] = "internal"
    links: tuple[Context, ...] = ()
    happenings: tuple[Happening, ...] = ()
    error: str | None = None


class _Open:
    """A span that has not ended."""

    __slots__ = ("attributes", "context", "happenings", "kind", "links", "name", "parent", "start")

    def __init__(self, name: str, context: Context, parent: Context | None, start: float, attributes: dict[str, Value]):
        self.name = name
        self.context = context
        self.parent = parent
        self.start = start
        self.attributes = attributes
        self.kind: Literal["internal", "client"] = "internal"
        self.links: list[Context] = []
        self.happenings: list[Happening] = []

    def happened(self, name: str, time: float, **attributes: Value) -> None:
        """Something happened; what is given by name gets our prefix."""
        told = {f"megaagent.{key}": value for key, value in attributes.items()}
        self.happenings.append(Happening(f"megaagent.{name}", time, told))

    def ended(self, time: float, error: str | None = None) -> Span:
        attributes = self.attributes if error is None else {**self.attributes, "error.type": error}
        links = tuple(dict.fromkeys(self.links))[:MOST_LINKS]
        end = max(time, self.start)
        return Span(
            self.name, self.context, self.parent, self.start, end, attributes, self.kind, links,
            tuple(self.happenings), error,
        )  # fmt: skip


class _Turn:
    """A turn under way.

    Attributes:
        calls: tool calls of the newest answer that have not returned, by index; since when.
        over: it has ended in the journal, and only results are waited for.
    """

    __slots__ = ("calls", "chats", "over", "since", "span", "usage", "writes")

    def __init__(self, span: _Open):
        self.span = span
        self.chats: dict[CallId, _Open] = {}
        self.calls: dict[int, ev.ToolCall] = {}
        self.since = span.start
        self.usage = ev.Usage()
        self.writes = 0
        self.over: float | None = None


class _Letter:
    """Mail under way: from which turn, and how many have yet to read it."""

    __slots__ = ("context", "readers")

    def __init__(self, context: Context, readers: int):
        self.context = context
        self.readers = readers


class Spans:
    """The fold of a journal's facts to spans.

    Args:
        content: what was said is in the spans too; the facts must come with their bodies then.
    """

    def __init__(self, *, content: bool = False):
        self.content = content
        self.run = ""
        self._last = 0.0
        self._workflow: _Open | None = None
        self._simulated = False
        self._turns: dict[AgentId, _Turn] = {}
        self._counts: dict[AgentId, int] = {}
        self._latest: dict[AgentId, Context] = {}  # each agent's newest turn
        self._mail: dict[MessageId, _Letter] = {}
        self._carried: dict[CallId, tuple[MessageId, ...]] = {}  # of calls in flight

    def take_in(self, record: Record) -> list[Span]:
        """Fold one fact; the spans that end with it."""
        done = self._fold(record)
        self._last = max(self._last, record.time)
        return done

    def _fold(self, record: Record) -> list[Span]:
        done: list[Span] = []
        turn = self._turns.get(record.agent)
        match record.event:
            case ev.RunStarted() | ev.RunForked() as began:
                self._began(began, record)
            case ev.RunResumed():
                for agent in list(self._turns):
                    done += self._close(agent, self._last, "interrupted")
            case ev.RunEnded() as ending:
                for agent in list(self._turns):
                    done += self._close(agent, record.time)
                done += self._ended(ending, record.time)
            case ev.MessageSent(message=message):
                self._mail[message.id] = _Letter(self._sent_from(record, message), len(message.to))
            case ev.VerificationOpened(round=number):
                self._open(VERIFIER, record.time).span.attributes["megaagent.round"] = number
            case ev.VerdictGiven(confirmed=confirmed):
                if (judged := self._turns.get(VERIFIER)) is not None:
                    judged.span.attributes["megaagent.confirmed"] = confirmed
                    done += self._close(VERIFIER, record.time)
            case ev.CheckRun(name=name, passed=passed):
                if (judged := self._turns.get(VERIFIER)) is not None:
                    judged.span.happened("check", record.time, check=name, passed=passed)
            case ev.CallIntended() as intended:
                done += self._asked(intended, record, turn)
            case ev.AgentRetired(id=id):
                done += self._close(id, record.time)
            case ev.AgentNudged(id=id, sign=sign, action=action) if id in self._turns:
                self._turns[id].span.happened("intervention", record.time, sign=sign, action=action)
            case _:
                if turn is not None:
                    done += self._in_turn(record, turn)
        return done

    # -- the run ------------------------------------------------------------------------------------------------

    def _began(self, began: ev.RunStarted | ev.RunForked, record: Record) -> None:
        before = self._workflow
        self.run = began.run
        self._simulated = began.simulated
        scenario = began.scenario if isinstance(began, ev.RunStarted) else None
        name = scenario or "megaagent"  # of low cardinality: never the goal
        self._workflow = _Open(
            f"invoke_workflow {name}",
            _context(f"{self.run}/workflow"),
            None,
            record.time,
            {
                "gen_ai.operation.name": "invoke_workflow",
                "gen_ai.workflow.name": name,
                "gen_ai.conversation.id": self.run,
                "megaagent.simulated": began.simulated,
            },
        )
        if before is not None:
            self._workflow.links.append(before.context)
        if self.content and isinstance(began, ev.RunStarted):
            self._workflow.attributes["gen_ai.input.messages"] = _message("user", began.goal)

    def _ended(self, ending: ev.RunEnded, time: float) -> list[Span]:
        if self._workflow is None:
            return []
        self._workflow.attributes["megaagent.status"] = ending.status
        if self.content and ending.text:
            self._workflow.attributes["gen_ai.output.messages"] = _message("assistant", ending.text)
        # A run that is resumed later gets the same span again, with the later end.
        return [self._workflow.ended(time, None if ending.status == "completed" else ending.status)]

    # -- turns --------------------------------------------------------------------------------------------------

    def _open(self, agent: AgentId, time: float) -> _Turn:
        number = self._counts[agent] = self._counts.get(agent, 0) + 1
        name = name_of(agent)
        context = _context(f"{self.run}/{agent}/turn/{number}")
        span = _Open(
            f"invoke_agent {name}",
            context,
            None,
            time,
            {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.id": agent,
                "gen_ai.agent.name": name,
                "gen_ai.conversation.id": f"{self.run}/{agent}",
                "megaagent.run": self.run,
                "megaagent.turn": number,
                "megaagent.simulated": self._simulated,
            },
        )
        if self._workflow is not None:
            span.links.append(self._workflow.context)
        if agent == VERIFIER and "boss" in self._latest:
            span.links.append(self._latest["boss"])
        turn = self._turns[agent] = _Turn(span)
        self._latest[agent] = context
        return turn

    def _close(self, agent: AgentId, time: float, error: str | None = None) -> list[Span]:
        turn = self._turns.pop(agent, None)
        if turn is None:
            return []
        over = turn.over or time
        done = [chat.ended(over, "interrupted") for chat in turn.chats.values()]
        for index in list(turn.calls):
            done.append(self._returned(turn, index, over, "interrupted"))
        usage = turn.usage
        turn.span.attributes |= {
            "gen_ai.usage.input_tokens": usage.prompt,
            "gen_ai.usage.output_tokens": usage.completion,
            "gen_ai.usage.cache_read.input_tokens": usage.cached,
            "megaagent.writes": turn.writes,
        }
        return [*done, turn.span.ended(over, error)]

    def _in_turn(self, record: Record, turn: _Turn) -> list[Span]:
        """A fact of an agent that is in a turn."""
        agent, time = record.agent, record.time
        done: list[Span] = []
        match record.event:
            case ev.ModelAnswered() as answer:
                done += self._answered(answer, record, turn)
            case ev.CallRetried(call=call, fault=fault, attempt=attempt) if call in turn.chats:
                turn.chats[call].happened("retry", time, fault=fault, attempt=attempt)
            case ev.CallRerouted(call=call, model=model) if call in turn.chats:
                provider, name = provider_and_model(model)
                turn.chats[call].happened("reroute", time, model=name)
                turn.chats[call].attributes |= {"gen_ai.provider.name": provider, "gen_ai.request.model": name}
            case ev.CallFailed(call=call, fault=fault) if call in turn.chats:
                done.append(turn.chats.pop(call).ended(time, fault))
                self._carried.pop(call, None)
                if not turn.chats and not turn.calls:  # its mail is unread again, and wakes it anew
                    done += self._close(agent, time, fault)
            case ev.AgentRecruited() as recruited:
                done.append(self._recruited(recruited, record, turn))
            case ev.ToolReturned(index=index) as result if index in turn.calls:
                done.append(self._returned(turn, index, time, None if result.ok else "tool_error", result.text))
            case ev.AgentCorrected():
                turn.span.happened("correction", time)
            case ev.TurnRefused(how=how, reasons=reasons):
                turn.span.happened("refusal", time, how=how, reasons=reasons)
            case ev.ConflictMet(path=path):
                turn.span.happened("conflict", time, path=path)
            case ev.TurnEnded(how=how):
                turn.span.attributes["megaagent.turn_end"] = how
                turn.over = time
            case ev.FileCommitted():
                turn.writes += 1
            case _:
                pass
        if turn.over is not None and not turn.calls and agent in self._turns:
            done += self._close(agent, turn.over)
        return done

    # -- calls --------------------------------------------------------------------------------------------------

    def _asked(self, intended: ev.CallIntended, record: Record, turn: _Turn | None) -> list[Span]:
        done: list[Span] = []
        if turn is not None and turn.over is not None:
            done += self._close(record.agent, record.time)
            turn = None
        turn = turn or self._open(record.agent, record.time)
        for id in intended.mail:
            letter = self._mail.get(id)
            if letter is not None and letter.context != turn.span.context:
                turn.span.links.append(letter.context)
        provider, model = provider_and_model(intended.model)
        chat = _Open(
            f"chat {model}",
            _context(f"{self.run}/{intended.call}/{record.position}", turn.span.context.trace),
            turn.span.context,
            record.time,
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": provider,
                "gen_ai.request.model": model,
                "gen_ai.agent.id": record.agent,
                "gen_ai.agent.name": name_of(record.agent),
                "gen_ai.conversation.id": f"{self.run}/{record.agent}",
                "megaagent.purpose": intended.purpose,
                "megaagent.simulated": self._simulated,
            },
        )
        chat.kind = "client"
        if "gen_ai.provider.name" not in turn.span.attributes:
            turn.span.attributes |= {"gen_ai.provider.name": provider, "gen_ai.request.model": model}
        chat.attributes["megaagent.mail"] = len(intended.mail)
        turn.chats[intended.call] = chat
        self._carried[intended.call] = intended.mail
        return done

    def _answered(self, answer: ev.ModelAnswered, record: Record, turn: _Turn) -> list[Span]:
        chat = turn.chats.pop(answer.call, None)
        if chat is None:
            return []
        usage = answer.usage
        turn.usage = turn.usage + usage
        chat.attributes |= {
            "gen_ai.response.model": provider_and_model(answer.model)[1]
            or str(chat.attributes["gen_ai.request.model"]),
            "gen_ai.response.finish_reasons": (answer.finish,),
            "gen_ai.usage.input_tokens": usage.prompt,
            "gen_ai.usage.output_tokens": usage.completion,
            "gen_ai.usage.cache_read.input_tokens": usage.cached,
        }
        if usage.reasoning:
            chat.attributes["gen_ai.usage.reasoning.output_tokens"] = usage.reasoning
        if answer.cost is not None:
            chat.attributes["megaagent.cost_usd"] = answer.cost
        if answer.repairs:
            chat.attributes["megaagent.repairs"] = answer.repairs
        if self.content:
            chat.attributes["gen_ai.output.messages"] = _answer(answer)
        self._read(answer.call)
        if chat.attributes["megaagent.purpose"] == "step":
            turn.calls = dict(enumerate(answer.calls))
            turn.since = record.time
        return [chat.ended(record.time)]

    def _returned(self, turn: _Turn, index: int, time: float, error: str | None, result: str = "") -> Span:
        call = turn.calls.pop(index)
        span = _Open(
            f"execute_tool {call.name}",
            _context(f"{turn.span.context.span}/{turn.since}/{index}/{call.id}", turn.span.context.trace),
            turn.span.context,
            turn.since,
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": call.name,
                "gen_ai.tool.call.id": call.id,
                "gen_ai.tool.type": "function",
            },
        )
        for key in ("gen_ai.agent.id", "gen_ai.agent.name", "gen_ai.conversation.id"):
            span.attributes[key] = turn.span.attributes[key]
        if self.content:
            span.attributes["gen_ai.tool.call.arguments"] = call.arguments[:LONGEST]
            span.attributes["gen_ai.tool.call.result"] = result[:LONGEST]
        return span.ended(time, error)

    def _recruited(self, recruited: ev.AgentRecruited, record: Record, turn: _Turn) -> Span:
        name = name_of(recruited.id)
        span = _Open(
            f"create_agent {name}",
            _context(f"{self.run}/create/{recruited.id}", turn.span.context.trace),
            turn.span.context,
            turn.since,
            {
                "gen_ai.operation.name": "create_agent",
                "gen_ai.agent.id": recruited.id,
                "gen_ai.agent.name": name,
                "gen_ai.provider.name": turn.span.attributes.get("gen_ai.provider.name", "megaagent"),
                "megaagent.tier": recruited.tier,
            },
        )
        if self.content:
            span.attributes["gen_ai.agent.description"] = recruited.description
            span.attributes["gen_ai.system_instructions"] = msgspec.json.encode(
                [{"type": "text", "content": recruited.prompt[:LONGEST]}]
            ).decode()
        return span.ended(record.time)

    # -- mail ---------------------------------------------------------------------------------------------------

    def _sent_from(self, record: Record, message: ev.Message) -> Context:
        """The turn that a message comes from; the run itself for what no turn has sent."""
        sender = record.agent if record.step else message.sender
        known = self._latest.get(sender) if sender != ENGINE else None
        if known is None:
            known = self._workflow.context if self._workflow is not None else _context(f"{self.run}/workflow")
        return known

    def _read(self, call: CallId) -> None:
        """Forget mail that all its receivers have read."""
        for id in self._carried.pop(call, ()):
            letter = self._mail.get(id)
            if letter is not None:
                letter.readers -= 1
                if letter.readers <= 0:
                    del self._mail[id]


def _context(key: str, trace: int | None = None) -> Context:
    digest = hashlib.sha256(key.encode()).digest()
    return Context(trace or int.from_bytes(digest[:16], "big") or 1, int.from_bytes(digest[16:24], "big") or 1)


def _message(role: str, text: str) -> str:
    part = {"type": "text", "content": text[:LONGEST]}
    return msgspec.json.encode([{"role": role, "parts": [part]}]).decode()


def _answer(answer: ev.ModelAnswered) -> str:
    """An answer as the conventions write output messages."""
    parts: list[dict[str, Any]] = []
    if answer.text:
        parts.append({"type": "text", "content": answer.text[:LONGEST]})
    for call in answer.calls:
        parts.append({"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments[:LONGEST]})
    message = {"role": "assistant", "parts": parts, "finish_reason": answer.finish}
    return msgspec.json.encode([message]).decode()
