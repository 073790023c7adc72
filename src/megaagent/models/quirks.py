"""How servers that speak chat completions depart from OpenAI's own; the table of them is in `megaagent.models`.

Sources (November 2026): OpenAI API reference and guide "Reasoning models"; Azure OpenAI REST reference; DeepSeek guide
"Thinking mode"; OpenRouter guide "Reasoning tokens"; Gemini API pages "OpenAI compatibility" and "Thought signatures";
vLLM "Reasoning outputs"; the API pages of Ollama and llama.cpp.
"""

from __future__ import annotations

from typing import Literal

from megaagent.events import Struct


class Quirks(Struct, frozen=True):
    """How a provider departs from the common protocol.

    Attributes:
        max_tokens: its name for the output limit.
        key_header: the header that carries the key; "Authorization" is sent as a bearer token.
        reasoning_back: the field in which the reasoning of an answer with calls is sent back, if it is.
        reasoning_always: that field is sent also when there was no reasoning, because the provider insists.
        details_back: signed reasoning comes as `reasoning_details`, and goes back as it came (OpenRouter).
        extra_back: calls come with `extra_content`, which goes back with them (Gemini's thought signatures).
        effort: the field that says how much to think; "reasoning" is an object with the effort in it.
        switch: thinking is switched off by `thinking` (DeepSeek), not by an effort of "none".
        usage_in_stream: the usage of a stream must be asked for, and may be.
        schema: it binds an answer to a schema (`response_format` of type `json_schema`); whoever does not after all is
            asked by a call that must be made.
    """

    max_tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    key_header: str = "Authorization"
    reasoning_back: str | None = None
    reasoning_always: bool = False
    details_back: bool = False
    extra_back: bool = False
    effort: Literal["reasoning_effort", "reasoning"] = "reasoning_effort"
    switch: bool = False
    usage_in_stream: bool = True
    schema: bool = False
