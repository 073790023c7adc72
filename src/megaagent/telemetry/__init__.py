"""A run as OpenTelemetry spans and metrics: readings of its journal, live or afterwards.

The names are those of the semantic conventions for generative AI, version 1.41.
"""

from __future__ import annotations

from megaagent.events import Struct


class TelemetrySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What a run sends while it goes on; where to is said by the usual environment (OTEL_EXPORTER_OTLP_ENDPOINT, ...).

    Attributes:
        otel: spans and metrics are sent; needs the extra `otel`.
        content: what was said is sent too: goal, roles, answers, arguments and results of tools.
    """

    otel: bool = False
    content: bool = False
