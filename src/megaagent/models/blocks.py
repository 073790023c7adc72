"""The wire format of Anthropic's Messages API: answers, whole or as a stream of events.

Source: Claude API reference, "Create a Message"; guides "Streaming messages" and "Stop reasons" (November 2026).
Unknown events and blocks are passed over, as the API's versioning policy asks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import msgspec

from megaagent.errors import ModelError
from megaagent.events import Usage
from megaagent.models.answers import Heard, Told, count_of, read_document, respond
from megaagent.models.claude import Echo, checked
from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.models.faults import Secrets, error_inside
from megaagent.models.layout import Layout
from megaagent.models.structured import as_call

_CUT: Final = frozenset({"max_tokens", "model_context_window_exceeded"})


class _Said(msgspec.Struct):
    """A content block, or a change to one; `input` of a block is an object."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None
    partial_json: str | None = None
    stop_reason: str | None = None
    stop_details: Any = None


class _Message(msgspec.Struct):
    model: Any = None
    usage: Any = None


class Document(msgspec.Struct):
    """A whole message, an error, or an event of a stream."""

    type: str = ""
    error: Any = None
    message: _Message | None = None
    index: int = 0
    content_block: _Said | None = None
    delta: _Said | None = None
    content: list[_Said] | None = None
    model: Any = None
    usage: Any = None
    stop_reason: str | None = None
    stop_details: Any = None


class _Block:
    """One block under construction."""

    def __init__(self, said: _Said):
        self.type = said.type
        self.id = said.id or ""
        self.name = said.name or ""
        self.data = said.data
        self.text = [said.text or ""]
        self.thinking = [said.thinking or ""]
        self.signature = [said.signature or ""]
        given: Any = said.input  # an object, empty in a stream until its parts come
        self.given = msgspec.json.encode(given).decode() if isinstance(given, dict) else ""
        self.json: list[str] = []
        self.told: Told | None = None

    def change(self, delta: _Said) -> None:
        self.text.append(delta.text or "")
        self.thinking.append(delta.thinking or "")
        self.signature.append(delta.signature or "")
        self.json.append(delta.partial_json or "")

    def close(self) -> None:
        """All of it is there: a call is put together now, while the rest of the answer is on its way."""
        if self.type == "tool_use" and self.told is None:
            parts = "".join(self.json)
            self.told = Told(self.id, self.name, parts or self.given or "{}")

    @property
    def thought(self) -> dict[str, Any] | None:
        """The block as it must be sent back, if it is a thought."""
        if self.type == "redacted_thinking":
            return {"type": self.type, "data": self.data or ""}
        if self.type != "thinking":
            return None
        return {"type": self.type, "thinking": "".join(self.thinking), "signature": "".join(self.signature)}


class MessageReading:
    """One answer, read from its documents.

    Args:
        sent: what was asked, as it was sent.
        tool: whose arguments were asked for as the answer, if any; `unbound` is told when what came is none.
    """

    def __init__(
        self,
        request: ModelRequest,
        secrets: Secrets,
        decoder: msgspec.json.Decoder[Document],
        sent: Layout,
        tool: str = "",
        unbound: Callable[[], object] | None = None,
    ) -> None:
        self._tool = tool
        self._unbound = unbound
        self._request = request
        self._secrets = secrets
        self._decoder = decoder
        self._sent = sent
        self._blocks: dict[int, _Block] = {}
        self._usage: dict[str, Any] = {}
        self._model = ""
        self._stop: str | None = None
        self._details: Any = None
        self._seen = False
        self._mended: dict[str, None] = {}

    def take(self, data: bytes) -> bool:
        document, mended = read_document(data, self._decoder, Document, self._secrets.hide)
        if mended:
            self._mended[mended] = None
        if document.error is not None:
            raise error_inside({"error": document.error}, self._secrets)
        match document.type:
            case "message":
                self._begin(document.model, document.usage)
                for index, block in enumerate(document.content or ()):
                    self._blocks[index] = _Block(block)
                    self._blocks[index].close()
                self._stop, self._details = document.stop_reason, document.stop_details
                return True
            case "message_start" if document.message is not None:
                self._begin(document.message.model, document.message.usage)
            case "content_block_start" if document.content_block is not None:
                self._seen = True
                self._blocks[document.index] = _Block(document.content_block)
            case "content_block_delta" if document.delta is not None:
                self._seen = True
                self._block(document.index, document.delta).change(document.delta)
            case "content_block_stop" if document.index in self._blocks:
                self._blocks[document.index].close()
            case "message_delta":
                self._count(document.usage)
                if document.delta is not None:
                    self._stop = document.delta.stop_reason or self._stop
                    self._details = document.delta.stop_details or self._details
            case "message_stop":
                return True
            case _:
                pass
        return False

    def response(self, *, whole: bool) -> ModelResponse:
        if not self._seen:
            raise ModelError("broken", "what came is no answer of the Messages API; does this server speak it?")
        if not whole and self._stop is None:
            raise ModelError("broken", "the stream ended in the middle of the answer")
        blocks = [block for _, block in sorted(self._blocks.items())]
        for block in blocks:
            block.close()
        told = tuple(block.told for block in blocks if block.told is not None)
        heard = Heard(
            "".join("".join(block.text) for block in blocks if block.type == "text"),
            told,
            "\n".join(thinking for block in blocks if (thinking := "".join(block.thinking))),
            _refusal(self._details) if self._stop == "refusal" else None,
            self._stop in _CUT,
            self._model,
            self.usage(),
            tuple(self._mended),
        )
        response = respond(heard, self._request, self._secrets.hide_known)
        if self._tool:
            return as_call(response, self._tool, self._unbound)
        echo = self._echo(blocks, response)
        return msgspec.structs.replace(response, echo=echo) if echo else response

    @property
    def counted(self) -> bool:
        return self._usage.get("input_tokens") is not None and self._usage.get("output_tokens") is not None

    def usage(self) -> Usage:
        """The API's `input_tokens` are those that were neither read from its cache nor written to it."""
        fields = self._usage
        fresh, completion = count_of(fields.get("input_tokens")) or 0, count_of(fields.get("output_tokens")) or 0
        cached = count_of(fields.get("cache_read_input_tokens")) or 0
        written = count_of(fields.get("cache_creation_input_tokens")) or 0
        details = fields.get("output_tokens_details")
        thought = cast("dict[str, Any]", details).get("thinking_tokens") if isinstance(details, dict) else 0
        kept = fields.get("cache_creation")
        hour = cast("dict[str, Any]", kept).get("ephemeral_1h_input_tokens") if isinstance(kept, dict) else 0
        thought = min(count_of(thought) or 0, completion)
        return Usage(fresh + cached + written, completion, cached, thought, written, min(count_of(hour) or 0, written))

    def _begin(self, model: Any, usage: Any) -> None:
        self._seen = True
        if isinstance(model, str):
            self._model = model[:200]
        self._count(usage)

    def _count(self, usage: Any) -> None:
        """Later counts replace earlier ones: they are cumulative."""
        if isinstance(usage, dict):
            told = cast("dict[str, Any]", usage)
            self._usage.update({name: value for name, value in told.items() if value is not None})

    def _block(self, index: int, delta: _Said) -> _Block:
        """The block that changes; one that was never begun is begun by its first change."""
        if index not in self._blocks:
            kind = "thinking" if "thinking" in delta.type or "signature" in delta.type else "text"
            self._blocks[index] = _Block(_Said("tool_use" if delta.partial_json is not None else kind))
        return self._blocks[index]

    def _echo(self, blocks: list[_Block], response: ModelResponse) -> str:
        """The thoughts as they are to be sent back; nothing when there are none, or when a key had to be hidden."""
        thoughts = [thought for block in blocks if (thought := block.thought) is not None]
        if not thoughts or response.finish == "length":
            return ""
        if any(self._secrets.hide_known(text) != text for thought in thoughts for text in thought.values()):
            return ""
        kept: tuple[dict[str, Any] | int | None, ...] = ()
        if not response.repairs and response.text == "".join("".join(b.text) for b in blocks if b.type == "text"):
            order = [_kept(block) for block in blocks]
            kept = tuple(each for each in order if each != 0)
        else:  # what follows the first words is not as the model said it, so later thoughts would not fit
            first = [thought for block in _until_words(blocks) if (thought := block.thought) is not None]
            if not first:
                return ""
            words = [len(response.text)] if response.text.strip() else []
            if response.text and not words:
                return ""
            kept = (*first, *words, *(None for _ in response.calls))
        echo = Echo(self._request.model, self._sent.digest(), self._sent.tail, kept, checked(kept))
        return msgspec.json.encode(echo).decode()


def _kept(block: _Block) -> dict[str, Any] | int | None:
    if block.told is not None:
        return None
    thought = block.thought
    return thought if thought is not None else len("".join(block.text)) if block.type == "text" else 0


def _until_words(blocks: list[_Block]) -> list[_Block]:
    end = next((i for i, block in enumerate(blocks) if block.thought is None), len(blocks))
    return blocks[:end]


def _refusal(details: Any) -> str:
    told = cast("dict[str, Any]", details) if isinstance(details, dict) else {}
    words = [str(told[name]) for name in ("category", "explanation") if told.get(name)]
    return ": ".join(["the model declined to answer", *words])
