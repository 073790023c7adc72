"""Chat completions over HTTP: OpenAI and the many servers that speak its protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from megaagent.errors import ModelError
from megaagent.models.chat import Answer, Piece, decode_piece
from megaagent.models.chat_requests import RequestEncoder
from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.models.faults import Secrets, error_inside
from megaagent.models.http import HTTPModel, usable_key
from megaagent.models.limits import Limits
from megaagent.models.network import NetworkSettings
from megaagent.models.openai_batches import OpenAIBatches
from megaagent.models.quirks import Quirks
from megaagent.models.structured import as_call


class OpenAIModel(HTTPModel):
    """A model behind `POST {base_url}/chat/completions`.

    Args:
        base_url: up to and including the version, such as `https://api.openai.com/v1`.
        key: sent as the quirks say; None for servers that ask for none.
        stream: ask for the answer piece by piece, so that a stall is noticed before the deadline.
        quirks: how the provider departs from the common protocol.
        headers: sent with every request.
        limits: told what each answer's headers say about rate limits.

    Raises:
        ConfigurationError: the URL or the key cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        *,
        stream: bool = True,
        quirks: Quirks | None = None,
        headers: Mapping[str, str] | None = None,
        settings: NetworkSettings | None = None,
        limits: Callable[[Limits], None] | None = None,
    ):
        quirks = quirks or Quirks()
        dialect = Completions(quirks, stream=stream)
        super().__init__(
            dialect,
            base_url,
            key,
            _credentials(usable_key(key), quirks.key_header),
            stream=stream,
            headers=headers,
            settings=settings,
            limits=limits,
        )
        self.batches = OpenAIBatches(self, dialect.whole())


class Completions:
    """The protocol of chat completions."""

    path = "/chat/completions"

    def __init__(self, quirks: Quirks, *, stream: bool):
        self._quirks = quirks
        self._encoder = RequestEncoder(quirks, stream=stream)
        self._decoder = msgspec.json.Decoder(Piece)

    def whole(self) -> Completions:
        """The same without streams; what a server has refused is left out there too."""
        other = Completions(self._quirks, stream=False)
        other._encoder.without = self._encoder.without
        return other

    def encode(self, request: ModelRequest) -> tuple[bytes, str]:
        """The body, and the tool whose arguments are asked for as the answer, if any."""
        sole = self._encoder.bound_to(request)
        return self._encoder.encode(request), sole.name if sole is not None else ""

    def reading(self, request: ModelRequest, sent: str, secrets: Secrets) -> CompletionReading:
        return CompletionReading(request, secrets, self._decoder, sent, self._unbound)

    def _unbound(self) -> None:
        """The server takes a schema and does not keep to it."""
        self._encoder.without.add("response_format")

    def adapt(self, error: ModelError) -> str:
        """Leave out from now on what the server refuses; says what that is, or nothing when it cannot be helped."""
        name = self._encoder.leave_out(error.detail)
        return f"the server refuses {name}: asked again without" if name else ""


class CompletionReading(Answer):
    """One answer, read from its documents.

    Args:
        tool: whose arguments were asked for as the answer, if any; `unbound` is told when what came is none.
    """

    def __init__(
        self,
        request: ModelRequest,
        secrets: Secrets,
        decoder: msgspec.json.Decoder[Piece],
        tool: str,
        unbound: Callable[[], object],
    ):
        super().__init__(hide=secrets.hide_known, request=request)
        self._tool = tool
        self._unbound = unbound
        self._secrets = secrets
        self._decoder = decoder

    def take(self, data: bytes) -> bool:
        if data.startswith(b"[DONE]"):
            return True
        error = self.add(decode_piece(data, self._decoder, self._secrets.hide))
        if error is not None:
            raise error_inside(error, self._secrets)
        return False

    def response(self, *, whole: bool = True) -> ModelResponse:
        response = super().response(whole=whole)
        return as_call(response, self._tool, self._unbound) if self._tool else response


def _credentials(key: str | None, header: str) -> dict[str, str]:
    if key is None:
        return {}
    return {header: f"Bearer {key}" if header == "Authorization" else key}
