"""A decision as OpenTelemetry spans, sent by OTLP over HTTP; the only file that imports OpenTelemetry (extra ``otel``).

One server span a decision, child of the caller's span where there was one, and one internal span a member run.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from quorate.core.types import MemberRun
from quorate.core.types import Status as MemberStatus
from quorate.telemetry.traces import Finished

_SCOPE = InstrumentationScope("quorate")
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_NANO_PER_MS = 1_000_000


class OtlpExporter:
    """Turns decisions into spans and sends them; ``process`` becomes ``service.instance.id``.

    Where to, with which headers, time-out, compression and certificates: ``OTEL_EXPORTER_OTLP_*``.
    """

    def __init__(self, process: str, exporter: SpanExporter | None = None) -> None:
        self._exporter = exporter if exporter is not None else OTLPSpanExporter()
        self._resource = _resource(process)
        self._ids = RandomIdGenerator()
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)  # a line for every lost batch, none for retries

    def export(self, decisions: Sequence[Finished]) -> tuple[int, bool]:
        """Send the spans of decisions; how many there were, and whether the receiver took them."""
        spans = [span for decision in decisions for span in self._spans(decision)]
        return len(spans), self._exporter.export(spans) is SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Give up what is under way."""
        self._exporter.shutdown()

    def _spans(self, decision: Finished) -> Iterator[ReadableSpan]:
        context = self._context(decision.trace)
        arrived = round(decision.arrived * 1000 * _NANO_PER_MS)
        parent = None
        if decision.traceparent is not None:
            parent = SpanContext(decision.trace, int(decision.traceparent[36:52], 16), True, _SAMPLED)
        yield ReadableSpan(
            name=f"predict {decision.endpoint}",
            context=context,
            parent=parent,
            resource=self._resource,
            attributes=_attributes(decision),
            kind=SpanKind.SERVER,
            status=Status(StatusCode.ERROR, decision.error) if decision.error is not None else Status(),
            start_time=arrived,
            end_time=arrived + round(decision.latency_ms * _NANO_PER_MS),
            instrumentation_scope=_SCOPE,
        )
        # When each member began is not on record: all are shown from the start of the first.
        started = arrived + round(decision.queue_ms * _NANO_PER_MS)
        for run in decision.members:
            if run.status is not MemberStatus.SKIPPED:
                yield self._member(run, context, started)

    def _member(self, run: MemberRun, parent: SpanContext, started: int) -> ReadableSpan:
        failed = run.status is MemberStatus.FAILED
        return ReadableSpan(
            name=f"member {run.name}",
            context=self._context(parent.trace_id),
            parent=parent,
            resource=self._resource,
            attributes=_known(
                {
                    "quorate.member.name": run.name,
                    "quorate.member.version": run.version,
                    "quorate.member.status": run.status.name.lower(),
                    "quorate.member.latency_ms": run.latency_ms,
                    "error.type": run.reason,
                }
            ),
            kind=SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, run.reason) if failed else Status(),
            start_time=started,
            end_time=started + round((run.latency_ms or 0.0) * _NANO_PER_MS),
            instrumentation_scope=_SCOPE,
        )

    def _context(self, trace: int) -> SpanContext:
        return SpanContext(trace, self._ids.generate_span_id(), False, _SAMPLED)


def _attributes(decision: Finished) -> Mapping[str, Any]:
    return _known(
        {
            "quorate.endpoint": decision.endpoint,
            "quorate.revision": decision.revision,
            "quorate.decision.id": decision.id,
            "quorate.request.id": decision.request_id,
            "quorate.source": decision.source,
            "quorate.strategy.assigned": decision.assigned,
            "quorate.strategy.served": decision.served,
            "quorate.degraded": decision.degraded,
            "quorate.rows": decision.rows,
            "quorate.queue_ms": decision.queue_ms,
            "error.type": decision.error,
        }
    )


def _known(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def _resource(process: str) -> Resource:
    ours = {"service.name": "quorate", "service.instance.id": process}
    said = OTELResourceDetector().detect()  # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
    return Resource.create(ours).merge(said)
