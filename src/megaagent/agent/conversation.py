"""One agent's conversation: a fold of the agent's own facts, laid out for prompt caching.

Append-only. What changes from step to step (checklist, budget) is not part of it; the request adds it last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from megaagent import events as ev
from megaagent.agent.prompt import Measure, Prompt
from megaagent.events import Message, MessageId, Record, name_of
from megaagent.models.contract import ChatMessage

_TAG = re.compile(r"<(/?)(mail|status|summary)\b", re.IGNORECASE)
CORRECTION = (
    "Your answer had no tool call, so nobody received it and nothing was done. Act by calling tools: for example "
    "`talk` to tell somebody, `wait` if you cannot go on, `terminate` to hand in."
)
ERROR = "Error: "
# The kinds of facts that a conversation is made of.
TOLD: frozenset[type[ev.Event]] = frozenset(
    {ev.CallIntended, ev.ModelAnswered, ev.ToolReturned, ev.AgentCorrected, ev.ContextCompacted}
)


class Conversation:
    """The messages between one agent and its model.

    Args:
        find: gives a message by its id; the mail that the agent has read.
        head: the messages that come before it in every request.
        common: the measure of those of them that come first and that many conversations share.
    """

    def __init__(
        self, find: Callable[[MessageId], Message], head: tuple[ChatMessage, ...] = (), common: Measure | None = None
    ):
        self.messages: list[ChatMessage] = []
        self.characters = 0
        self._find = find
        self._head = head
        common = common or Measure()
        self._measured = common.then(head[common.messages :])
        self._measure = self._measured.then(())
        self._starts: list[tuple[int, int]] = []  # step, index of its first message
        self._mail: tuple[MessageId, ...] = ()

    def apply(self, record: Record) -> None:
        """Take in one of the agent's own facts; others change nothing."""
        match record.event:
            case ev.CallIntended(purpose="step", mail=mail):
                self._mail = mail
            case ev.ModelAnswered() as answer:
                self._starts.append((record.step, len(self.messages)))
                if self._mail:
                    self._add(ChatMessage("user", render_mail(self._find(id) for id in self._mail)))
                self._mail = ()
                said = ChatMessage("assistant", answer.text, answer.calls, None, answer.reasoning, answer.echo)
                self._add(said)
            case ev.ToolReturned() as result:
                text = result.text if result.ok else ERROR + result.text
                self._add(ChatMessage("tool", text, call_id=result.call_id))
            case ev.AgentCorrected(text=text):
                self._add(ChatMessage("user", text))
            case ev.ContextCompacted(step=step, summary=summary):
                self._compact(step, summary)
            case _:
                pass

    def with_mail(self, mail: Iterable[Message]) -> Prompt:
        """Head and conversation as they would be sent now, with new mail."""
        waiting = tuple(mail)
        new = (ChatMessage("user", render_mail(waiting)),) if waiting else ()
        return self._measure.then(new).prompt((*self._head, *self.messages, *new))

    @property
    def last_step(self) -> int:
        """The newest step in it, 0 when it is empty."""
        return self._starts[-1][0] if self._starts else 0

    def _add(self, message: ChatMessage) -> None:
        self.messages.append(message)
        self._measure.add(message)
        self.characters += len(message.text) + sum(len(call.arguments) + len(call.name) for call in message.calls)

    def _compact(self, step: int, summary: str) -> None:
        kept = next((index for number, index in self._starts if number > step), len(self.messages))
        rest = self.messages[kept:]
        self._starts = [(number, index - kept + 1) for number, index in self._starts if number > step]
        self.messages, self.characters = [], 0
        self._measure = self._measured.then(())
        for message in (ChatMessage("user", f"<summary>\n{escape(summary)}\n</summary>"), *rest):
            self._add(message)


def render_mail(messages: Iterable[Message]) -> str:
    """Mail as the model reads it; a text cannot pretend to be another mail."""
    parts: list[str] = []
    for message in messages:
        head = f'<mail id="{message.id}" from="{name_of(message.sender)}" kind="{message.kind}">'
        parts.append(f"{head}\n{escape(message.text)}\n</mail>")
    return "\n".join(parts)


def escape(text: str) -> str:
    """The text with everything disarmed that looks like one of the engine's own tags."""
    return _TAG.sub(r"&lt;\1\2", text)
