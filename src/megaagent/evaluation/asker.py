"""Single questions to a model beside the runs of an evaluation: behind the same gate, from the same purse."""

from __future__ import annotations

from random import Random

from megaagent.choice import Adapters, voices_of
from megaagent.evaluation.purse import Purse
from megaagent.events import Usage
from megaagent.models.contract import ChatMessage, ModelRequest
from megaagent.models.prices import cost_of, worst_case
from megaagent.models.retry import RetryingModel
from megaagent.models.tokens import request_tokens
from megaagent.settings import Settings

_MARGIN = 1.3  # of counted tokens, since providers count in their own way


class Asker:
    """Asks the judge tier's model."""

    def __init__(self, settings: Settings, adapters: Adapters, purse: Purse):
        self._voice = voices_of(settings)["judge"]
        self._gate = adapters.gates[self._voice.adapter]
        self._model = RetryingModel(
            adapters[self._voice.adapter], settings.retry, random=Random(settings.simulation.seed)
        )
        self._purse = purse

    async def ask(self, messages: tuple[ChatMessage, ...], output: int) -> tuple[str, Usage, float]:
        """The answer, its usage, and what it cost in US dollars.

        Raises:
            ModelError: no attempt succeeded.
            CapReachedError: the money will not do; nothing was asked.
        """
        voice = self._voice
        name = voice.name.partition(":")[2]
        request = ModelRequest(name, messages, max_output=output, temperature=voice.temperature)
        tokens = round(request_tokens(request) * _MARGIN)
        async with (
            self._purse.share(cost_of(worst_case(tokens, output), voice.name, voice.price) or 0.0) as share,
            self._gate.place(share="panel", tokens=tokens + output) as place,
        ):
            response = await self._model.complete(request)
            self._gate.answered(response.usage, place)
            cost = cost_of(response.usage, voice.name, voice.price) or 0.0
            share.spent = cost
        return response.text, response.usage, cost
