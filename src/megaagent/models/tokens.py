"""How many tokens a request will be counted as, told beforehand and without a tokenizer.

The law: a third of the text's UTF-8 bytes, 4 tokens for each message and 12 for each call around it, and a third of the
bytes of the tools' JSON.

Byte-level tokenizers never make more tokens than bytes. OpenAI's rule of thumb for English is 4 bytes to a token, and
scripts of two or three bytes a letter come out between one and two thirds of a token a letter, so a third of the bytes
errs on the high side for prose, code and JSON. Random digits and base64 can pass it; what a provider counts beyond an
estimate is debited when the call is settled.

For ASCII text the figure takes no time that grows with the text (both its length and its being ASCII are stored with
it), so a conversation can keep a running sum or be counted anew, as it likes.
"""

from __future__ import annotations

import msgspec

from megaagent.models.contract import ChatMessage, ModelRequest, ToolSpec

_BYTES_PER_TOKEN = 3
_PER_MESSAGE = 4
_PER_CALL = 12


def text_tokens(text: str) -> int:
    """Tokens of a text, rounded up."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // _BYTES_PER_TOKEN)


def message_tokens(message: ChatMessage) -> int:
    """Tokens of one message of a conversation."""
    calls = sum(_PER_CALL + text_tokens(call.name) + text_tokens(call.arguments) for call in message.calls)
    return _PER_MESSAGE + text_tokens(message.text) + text_tokens(message.echo or message.reasoning) + calls


def tools_tokens(tools: tuple[ToolSpec, ...]) -> int:
    """Tokens of the tools that are offered; the same for all agents of a run, so ask once."""
    return -(-len(msgspec.json.encode(tools)) // _BYTES_PER_TOKEN) if tools else 0


def request_tokens(request: ModelRequest) -> int:
    """Tokens of the whole prompt of a request."""
    return sum(map(message_tokens, request.messages)) + tools_tokens(request.tools)
