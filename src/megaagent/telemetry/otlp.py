"""Hands spans and metrics to OpenTelemetry's own exporters. Imported only when something is sent.

Everything that the SDK reads from the environment holds (endpoint, headers, timeouts, compression, certificates,
service name, resource attributes, sampler, limits), with an endpoint given outright in place of the one there.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from megaagent import __version__
from megaagent.errors import ConfigurationError
from megaagent.telemetry import metrics as met
from megaagent.telemetry.spans import Context, Span

try:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import export as sdk
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
except ImportError as error:
    raise ConfigurationError(
        f"sending spans and metrics needs the extra otel ({error.name} is not there): pip install 'megaagent[otel]'"
    ) from error

SCHEMA: Final = "https://opentelemetry.io/schemas/1.41.0"
BATCH: Final = 400  # spans of one request
REST: Final = 30.0
HTTP: Final = ("", "http/protobuf")
LOGGERS: Final = "opentelemetry"  # its exporters say there what went wrong


class Sender:
    """Sends what a run has done; from one thread.

    Args:
        run: its id, which becomes `service.instance.id`.
        endpoint: base address of an OTLP/HTTP receiver, such as http://127.0.0.1:4318; from the environment when None.
        rest: seconds in which nothing is tried after a failure; what comes in them is lost.

    Raises:
        ConfigurationError: the environment asks for what we cannot do, or an address is none.

    Attributes:
        spans, points: that were taken by the receiver.
        lost: spans and requests of metrics that were not.
        problem: why, in the exporter's words.
    """

    def __init__(
        self,
        run: str,
        endpoint: str | None = None,
        *,
        rest: float = REST,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
    ):
        for signal in ("", "_TRACES", "_METRICS"):
            protocol = environ.get(f"OTEL_EXPORTER_OTLP{signal}_PROTOCOL", "")
            if protocol not in HTTP:
                raise ConfigurationError(
                    f"OTEL_EXPORTER_OTLP{signal}_PROTOCOL={protocol}: only http/protobuf is spoken; collectors listen "
                    "for it on port 4318"
                )
        self.spans = self.points = self.lost = 0
        self.problem = ""
        self._closed = False
        self._rest = rest
        self._clock = clock
        self._resting_until = 0.0
        self._where = endpoint or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or "http://localhost:4318"
        self._off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        self._traces = "none" not in environ.get("OTEL_TRACES_EXPORTER", "")
        self._metrics = "none" not in environ.get("OTEL_METRICS_EXPORTER", "")
        defaults = {"service.name": "megaagent", "service.version": __version__, "service.instance.id": run}
        self._resource = Resource.create(defaults).merge(OTELResourceDetector().detect())
        self._scope = InstrumentationScope("megaagent", __version__, SCHEMA)
        self._listener = _Listener()
        logging.getLogger(LOGGERS).addHandler(self._listener)
        try:
            base = endpoint.rstrip("/") if endpoint else None
            self._span_exporter: SpanExporter = OTLPSpanExporter(endpoint=f"{base}/v1/traces" if base else None)
            self._metric_exporter = OTLPMetricExporter(endpoint=f"{base}/v1/metrics" if base else None)
        except ValueError as error:
            raise ConfigurationError(f"OpenTelemetry's exporter cannot be made: {error}") from error
        self._outbox = _Outbox()
        self._ids = _Ids()
        self._provider = TracerProvider(resource=self._resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(self._outbox)
        self._tracer = self._provider.get_tracer("megaagent", __version__, schema_url=SCHEMA)

    def add(self, spans: Sequence[Span]) -> None:
        """Take spans on the way; what is full is sent."""
        if self._off or not self._traces:
            return
        for span in spans:
            self._enter(span)
            if len(self._outbox.ended) >= BATCH:
                self.flush()

    def flush(self) -> None:
        """Send the spans that are on the way."""
        ended = self._outbox.ended
        while ended:
            batch = ended[:BATCH]
            del ended[:BATCH]
            if self._tried(partial(self._send_spans, batch), len(batch)):
                self.spans += len(batch)

    def tell(self, metrics: Sequence[met.Metric], began: float, now: float) -> None:
        """Send metrics as they were at one moment; sums count from `began`. Times are seconds since 1970."""
        if self._off or not self._metrics or not metrics:
            return
        start, at = _nanoseconds(began), _nanoseconds(now)
        told = [sdk.Metric(each.name, each.words, each.unit, _data(each, start, at)) for each in metrics]
        scoped = sdk.ScopeMetrics(self._scope, told, SCHEMA)
        data = sdk.MetricsData([sdk.ResourceMetrics(self._resource, [scoped], SCHEMA)])
        if self._tried(partial(self._send_metrics, data), 1):
            self.points += 1

    def _send_spans(self, batch: list[ReadableSpan]) -> bool:
        return self._span_exporter.export(batch) is SpanExportResult.SUCCESS

    def _send_metrics(self, data: sdk.MetricsData) -> bool:
        return self._metric_exporter.export(data) is sdk.MetricExportResult.SUCCESS  # pyright: ignore[reportUnknownMemberType]

    def close(self) -> None:
        """Nothing is sent any more; what is being tried is given up."""
        self.give_up()
        logging.getLogger(LOGGERS).removeHandler(self._listener)

    def give_up(self) -> None:
        """Let go of what is being tried, from any thread; nothing is sent any more."""
        if not self._closed:
            self._closed = True
            self._span_exporter.shutdown()
            self._metric_exporter.shutdown()  # pyright: ignore[reportUnknownMemberType]

    def _tried(self, send: Callable[[], bool], count: int) -> bool:
        """Whether it was taken; what went wrong is remembered, and never raised: it is no matter of the run's."""
        if self._closed or self._clock() < self._resting_until:
            self.lost += count
            return False
        self._listener.said = ""
        try:
            taken = send()
        except Exception as error:  # an exporter may raise whatever its transport does
            self._listener.said = self._listener.said or f"{type(error).__name__}: {error}"
            taken = False
        if not taken:
            self.lost += count
            self.problem = f"{self._where}: {_briefly(self._listener.said)}"
            self._resting_until = self._clock() + self._rest
        return taken

    def _enter(self, span: Span) -> None:
        """Begin and end a span as if it were happening, at its times and with its ids."""
        self._ids.next = span.context
        around: trace.Span = trace.INVALID_SPAN
        if span.parent is not None:
            around = trace.NonRecordingSpan(_told(span.parent, self._is_sampled(span.parent)))
        begun = self._tracer.start_span(
            span.name,
            trace.set_span_in_context(around),
            trace.SpanKind.CLIENT if span.kind == "client" else trace.SpanKind.INTERNAL,
            span.attributes,
            [trace.Link(_told(link)) for link in span.links],
            _nanoseconds(span.start),
        )
        for each in span.happenings:
            begun.add_event(each.name, each.attributes, _nanoseconds(each.time))
        if span.error is not None:
            begun.set_status(trace.Status(trace.StatusCode.ERROR, span.error))
        begun.end(_nanoseconds(span.end))

    def _is_sampled(self, parent: Context) -> bool:
        """What the sampler says of a trace; its root may not have ended yet."""
        decided = self._provider.sampler.should_sample(None, parent.trace, "")
        return decided.decision.is_sampled()


class _Ids(IdGenerator):
    """Gives the ids that we have made."""

    def __init__(self) -> None:
        self.next = Context(1, 1)

    def generate_span_id(self) -> int:
        return self.next.span

    def generate_trace_id(self) -> int:
        return self.next.trace


class _Outbox(SpanProcessor):
    """Keeps what has ended until it is sent."""

    def __init__(self) -> None:
        self.ended: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is not None and span.context.trace_flags.sampled:
            self.ended.append(span)


class _Listener(logging.Handler):
    """Hears what the exporters say, so that it comes to the person in one line and not into the middle of a view."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.said = self.said or " ".join(record.getMessage().split())  # what follows only tells of giving up


def _briefly(said: str) -> str:
    """What the exporter says, without the names of the classes on the way."""
    found = re.search(r"\[Errno -?\d+\] ([^)'\"]+)", said)
    return found[1].strip() if found else said[:200] or "it did not take them"


def _told(context: Context, sampled: bool = True) -> trace.SpanContext:
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if sampled else trace.TraceFlags.DEFAULT)
    return trace.SpanContext(context.trace, context.span, False, flags)


def _nanoseconds(time: float) -> int:
    return int(time * 1e9)


def _data(metric: met.Metric, start: int, now: int) -> Any:
    cumulative = sdk.AggregationTemporality.CUMULATIVE
    if metric.kind == "histogram":
        points = [
            sdk.HistogramDataPoint(
                each.labels, start, now, sum(each.counts), each.total, each.counts, each.bounds, each.least, each.most
            )
            for each in metric.spreads
        ]
        return sdk.Histogram(points, cumulative)
    numbers = [sdk.NumberDataPoint(each.labels, start, now, each.value) for each in metric.points]
    return sdk.Sum(numbers, cumulative, True) if metric.kind == "sum" else sdk.Gauge(numbers)
