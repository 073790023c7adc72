"""Models and providers as the semantic conventions call them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PROVIDERS: Final[Mapping[str, str]] = {
    "anthropic": "anthropic",
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "groq": "groq",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "openai": "openai",
    "perplexity": "perplexity",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
    "sim": "megaagent.simulated",
}


def provider_and_model(name: str) -> tuple[str, str]:
    """`provider:model` in two, the provider by its conventional name where there is one."""
    provider, colon, model = name.partition(":")
    return (PROVIDERS.get(provider, provider), model) if colon else ("megaagent", name)
