"""What every model is: one method, plain data in, plain data out."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from megaagent.events import Struct, ToolCall, Usage


class ToolSpec(Struct, frozen=True):
    """A tool as it is offered to a model; `parameters` is a JSON Schema object."""

    name: str
    description: str
    parameters: dict[str, Any]


class ChatMessage(Struct, frozen=True):
    """One entry of a conversation.

    Attributes:
        calls: of an assistant message, the tool calls that it made.
        call_id: of a tool message, the call that it answers.
        reasoning: of an assistant message, what the model said that it thought.
        echo: of an assistant message, what its adapter wants to send back with it (see `ModelResponse`).
    """

    role: Literal["system", "user", "assistant", "tool"]
    text: str
    calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None
    reasoning: str = ""
    echo: str = ""


class ModelRequest(Struct, frozen=True):
    """One call, in no vendor's words.

    Attributes:
        model: the provider's own name of the model, without the provider.
        max_output: completion tokens that the provider must not pass.
        deadline: seconds that one attempt may take.
        effort: how much the model is to think: "none", "low", "medium", "high", or what else the provider knows; None
            leaves it to the provider.
        must_call: the tool that the answer must call; a provider that cannot be told so is not, and one that binds
            answers to a schema may be asked for the arguments alone.
        lasting: so many messages will be sent again as they are; those after them are for this call only. None when
            that is not known.
    """

    model: str
    messages: tuple[ChatMessage, ...]
    tools: tuple[ToolSpec, ...] = ()
    max_output: int = 8192
    temperature: float | None = None
    deadline: float = 600.0
    effort: str | None = None
    must_call: str | None = None
    lasting: int | None = None


class ModelResponse(Struct, frozen=True):
    """One answer.

    Attributes:
        finish: "stop", "tool_calls" or "length".
        model: the name that the provider answered under.
        repairs: what had to be mended to make the answer valid.
        prompt_cut: the provider counted so few tokens that it may not have read the whole prompt.
        echo: what the provider wants sent back unchanged with this answer, such as signed thoughts, in the adapter's
            own format; for everybody else a text without meaning.
    """

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    finish: str = "stop"
    model: str = ""
    reasoning: str = ""
    repairs: tuple[str, ...] = ()
    prompt_cut: bool = False
    echo: str = ""


class Model(Protocol):
    """Anything that answers a request: an adapter, a wrapper around one, a simulation."""

    async def complete(self, request: ModelRequest) -> ModelResponse:
        """Answer the request once.

        Raises:
            ModelError: with the fault that says what is to be done about it.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
