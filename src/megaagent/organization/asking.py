"""What is asked of a model, by whom, and what is reserved for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from megaagent.agent.prompt import Prompt
from megaagent.events import AgentId, CallId, Fact, Message, Struct
from megaagent.models.contract import ToolSpec
from megaagent.models.gate import Priority
from megaagent.models.prices import Price

Append = Callable[[Sequence[Fact]], Awaitable[bool]]  # whether all was recorded


class Voice(Struct, frozen=True):
    """A model as one tier uses it; `name` is `provider:model`, `adapter` the runtime's name of its connection.

    Attributes:
        hour: what it writes to the provider's cache is to be kept for an hour, at that price.
    """

    name: str
    adapter: str
    price: Price | None = None
    max_output: int = 16_384
    temperature: float | None = None
    effort: str | None = None
    hour: bool = False


class Question(Struct, frozen=True):
    """What is asked, by whom, in which step.

    Attributes:
        prompt: head and conversation; `tail` is sent after it and not kept.
        priority: lower is asked first; `share` takes turns with other shares of the same priority.
        attempt: which asking of this it is, when an answer was of no use and it is asked anew.
        must_call: the tool that the answer must call.
    """

    agent: AgentId
    step: int
    purpose: str
    prompt: Prompt
    tail: str = ""
    tools: tuple[ToolSpec, ...] = ()
    mail: tuple[Message, ...] = ()
    priority: Priority = 0
    attempt: int = 1
    must_call: str | None = None


class Asking:
    """One call on its way: by which voice, and what is reserved for it.

    Args:
        began: when, by the run's clock.
        question: None of a call whose answer is awaited and that this engine has not made.
    """

    def __init__(
        self,
        voice: Voice,
        agent: AgentId,
        step: int,
        call: CallId,
        tokens: int,
        cost: float | None,
        began: float,
        question: Question | None = None,
    ):
        self.voice = voice
        self.agent = agent
        self.step = step
        self.call = call
        self.tokens = tokens
        self.cost = cost
        self.began = began
        self.attempt = 1
        self.ended = False  # how it ended is in the journal, or on its way there
        self._question = question

    @property
    def question(self) -> Question:
        assert self._question is not None
        return self._question
