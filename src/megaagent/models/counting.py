"""Whether the usage that a provider told can be, and an estimate where it cannot."""

from __future__ import annotations

from typing import Final

import msgspec

from megaagent.events import Usage
from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.models.tokens import request_tokens, text_tokens

_TIMES_THE_LIMIT: Final = 10  # times the allowed output, beyond which no count of an answer is believed
_SPARSE: Final = 12  # bytes of a request for each prompt token, beyond which the provider has read only a part of it
_LONG: Final = 8_000  # bytes from which that can be told


def with_usage(request: ModelRequest, sent: int, response: ModelResponse, *, counted: bool) -> ModelResponse:
    """The answer with a usage that can be: an estimate of ours where the provider told none, or one beyond reason.

    A call that nobody counted must not look free. No tokenizer makes more tokens than there are bytes, give or take
    what a chat template adds; and text of over twelve bytes a token, on the whole of a long request, there is none.

    Args:
        sent: bytes of the request.
        counted: the provider told a usage.
    """
    usage = response.usage
    said = [response.text, response.reasoning, *(call.name + call.arguments for call in response.calls)]
    most = _TIMES_THE_LIMIT * request.max_output + sum(map(len, said))
    note = "the provider told no usage that can be" if not counted else ""
    if counted and (usage.prompt > sent + 10_000 or usage.completion > most):
        note = f"the provider told an absurd usage ({usage.prompt:,} and {usage.completion:,} tokens)"
    if note:
        usage = Usage(prompt=request_tokens(request), completion=sum(map(text_tokens, said)))
        note += "; it is an estimate"
        return msgspec.structs.replace(response, usage=usage, repairs=(*response.repairs, note))
    if sent > _LONG and usage.prompt < sent // _SPARSE:
        note = f"the provider counted {usage.prompt:,} prompt tokens in {sent:,} bytes: it has cut the prompt, it seems"
        return msgspec.structs.replace(response, repairs=(*response.repairs, note), prompt_cut=True)
    return response
