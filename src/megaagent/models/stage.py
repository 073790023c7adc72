"""Plays a script over a conversation: from the request alone to the next answer.

The answer follows from the request and nothing else: the agent's part is played from its beginning over the
conversation, in which each assistant message was one yield, and what came after it is what that yield saw. So the same
answers come in process, over HTTP and after a resume.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from megaagent.events import VERIFIER, ToolCall, name_of
from megaagent.models.contract import ChatMessage, ModelRequest
from megaagent.models.script import (
    Act,
    Letter,
    Part,
    Play,
    Playing,
    Result,
    Says,
    Script,
    Seen,
    terminate,
    text,
)

_ROLE: Final = re.compile(r"^You are (\S+) \(([^)\n]*)\), ([^.\n]*)\.", re.MULTILINE)
_MAIL: Final = re.compile(
    r'<mail id="(?P<id>[^"]*)" from="(?P<from>[^"]*)" kind="(?P<kind>[^"]*)">\n?(?P<text>.*?)\n?</mail>', re.DOTALL
)
_SUMMARY: Final = "<summary>"
_STATUS: Final = "<status>"


class Stage:
    """Where a script is played.

    The parts played last are kept where they stand, so that the next request of the same conversation goes on from
    there; that saves time and changes nothing.
    """

    _KEPT: Final = 2048

    def __init__(self, script: Script):
        self._script = script
        self._performances: OrderedDict[str, _Performance] = OrderedDict()

    def next_answer(self, request: ModelRequest) -> Says:
        """What the agent whose conversation this is says next."""
        me = _introduce(request)
        if not request.tools and me.name not in self._script.parts:
            return _summary(request.messages) if any(m.role == "assistant" for m in request.messages) else _reply(me)
        performance = self._performances.pop(me.path, None)
        if performance is None or not performance.leads_to(request.messages):
            play = self._script.verifier if _is_verifier(me) else self._script.part_of(me.name)
            performance = _Performance(play, me)
        performance.me.tools = me.tools
        performance.go_on(request.messages)
        self._performances[me.path] = performance
        if len(self._performances) > self._KEPT:
            self._performances.popitem(last=False)
        return performance.answer


class _Performance:
    """One part, played as far as a conversation goes."""

    def __init__(self, play: Play, me: Part):
        self.me = me
        self.answer = Says()
        self._play = play
        self._playing: Playing | None = None
        self._over = ""  # what a part that has ended goes on handing in
        self._messages: tuple[ChatMessage, ...] = ()

    def leads_to(self, messages: tuple[ChatMessage, ...]) -> bool:
        """Whether this conversation is the one played, with the answer to it and more."""
        played = len(self._messages)
        return len(messages) > played and messages[played].role == "assistant" and messages[:played] == self._messages

    def go_on(self, messages: tuple[ChatMessage, ...]) -> None:
        """Play the part up to the end of the conversation."""
        new = messages[len(self._messages) :]
        for seen, summary, status in _scenes(new, begun=bool(self._messages)):
            self._next(seen, summary, status)
        lasting = not (messages and _is_status(messages[-1]))
        self._messages = messages if lasting else messages[:-1]

    def _next(self, seen: Seen, summary: str | None, status: str) -> None:
        me = self.me
        if summary is not None:
            me.results, me.mail, me.notices, me.summary = [], [], [], summary
            self._playing, self._over = None, ""
        me.see(seen)
        me.status = status
        try:
            if self._playing is not None:
                self.answer = _says(self._playing.send(seen))
            elif not self._over:
                self._playing = self._play(me)
                self.answer = _says(next(self._playing))
        except StopIteration as end:
            self._playing, self._over = None, str(end.value or "done")
            self.answer = _says(terminate(self._over)) if "terminate" in me.tools else text(self._over)


def _introduce(request: ModelRequest) -> Part:
    """Who is asked, by the line of the system messages that says so."""
    tools = frozenset(tool.name for tool in request.tools)
    for message in request.messages:
        if message.role == "system" and (role := _ROLE.search(message.text)):
            return Part(role[1], role[2], role[3], message.text, tools)
    return Part("assistant", "assistant", "ordinary", "", tools)


def _is_verifier(me: Part) -> bool:
    return me.path == VERIFIER or (me.name == name_of(VERIFIER) and "verdict" in me.tools)


def _scenes(messages: Sequence[ChatMessage], *, begun: bool) -> Iterator[tuple[Seen, str | None, str]]:
    """What was seen before each answer, the summary that begins anew there, and the status as it then stood.

    Only the request that is being answered still carries a status. When the part has `begun`, the messages start with
    the answer that it gave last.
    """
    pending: list[ChatMessage] = []
    calls: dict[str, ToolCall] = {}
    for message in messages:
        if message.role == "assistant":
            # Assistant messages that follow each other saw nothing between them, and each was an answer.
            if not begun:
                yield _scene(pending, calls)
            begun = False
            pending = []
            calls = {call.id: call for call in message.calls}
        elif message.role != "system":
            pending.append(message)
    yield _scene(pending, calls)


def _scene(messages: Iterable[ChatMessage], calls: dict[str, ToolCall]) -> tuple[Seen, str | None, str]:
    results: list[Result] = []
    mail: list[Letter] = []
    notices: list[str] = []
    summary: str | None = None
    status = ""
    for message in messages:
        if message.role == "tool":
            call = calls.get(message.call_id or "", ToolCall("", ""))
            results.append(Result(call.name, call.arguments, message.text, not message.text.startswith("Error: ")))
        elif _is_status(message):
            status = message.text
        elif message.text.startswith(_SUMMARY):
            summary = message.text.removeprefix(_SUMMARY).strip().removesuffix("</summary>").strip()
        else:
            mail += _letters(message.text)
            notices += [rest for part in _MAIL.sub("\0", message.text).split("\0") if (rest := part.strip())]
    return Seen(tuple(results), tuple(mail), tuple(notices)), summary, status


def _is_status(message: ChatMessage) -> bool:
    return message.role == "user" and message.text.startswith(_STATUS)


def _letters(words: str) -> Iterator[Letter]:
    for found in _MAIL.finditer(words):
        body = found["text"].replace("&lt;mail", "<mail").replace("&lt;/mail", "</mail")
        yield Letter(found["id"], found["from"], found["kind"], body)


def _says(answer: Says | Act) -> Says:
    return Says((answer,)) if isinstance(answer, Act) else answer


def _reply(me: Part) -> Says:
    return text(f"This is a simulated answer; no model was asked. I am {me.name}.")


def _summary(messages: Sequence[ChatMessage]) -> Says:
    """A request without tools over a conversation asks for a summary of it: what was done, newest last."""
    done = [call.name for message in messages for call in message.calls]
    texts = [message.text for message in messages if message.role == "user" and not _is_status(message)]
    begun = " ".join(texts[0].split())[:300] if texts else ""
    return text(f"The work began with: {begun}\nCalls made so far: {', '.join(done[-40:]) or 'none'}.")
