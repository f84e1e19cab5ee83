"""Decodes what an OTLP sink sent, with the generated classes of opentelemetry-proto, and adds it up.

Files of the folder are named NUMBER.traces, NUMBER.metrics and NUMBER.logs. Printed is one JSON object.
"""

import json
import pathlib
import sys

from google.protobuf import json_format, unknown_fields
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

KINDS = {
    ".traces": ExportTraceServiceRequest,
    ".metrics": ExportMetricsServiceRequest,
    ".logs": ExportLogsServiceRequest,
}


def unknown(message):
    """Fields that the definitions do not know, in a message and in all that is within it."""
    count = len(unknown_fields.UnknownFieldSet(message))
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        inner = value if hasattr(value, "__len__") else [value]
        count += sum(unknown(each) for each in inner)
    return count


def attributes(item):
    return {each.key: each.value for each in item.attributes}


def main():
    seen = {"spans": 0, "records": 0, "input_tokens": 0, "output_tokens": 0, "cost_nano_usd": 0,
            "calls_timed": 0, "unknown_fields": 0}
    for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
        message = KINDS[path.suffix]()
        message.ParseFromString(path.read_bytes())
        seen["unknown_fields"] += unknown(message)
        if path.suffix == ".traces":
            add_spans(message, seen)
        elif path.suffix == ".logs":
            add_records(message, seen)
        else:
            # Cumulative: the last one says it all.
            seen["calls_timed"] = timed(message)
    print(json.dumps(seen))


def add_spans(message, seen):
    for span in message.resource_spans[0].scope_spans[0].spans:
        assert span.kind == Span.SPAN_KIND_CLIENT, span.kind
        assert len(span.trace_id) == 16 and len(span.span_id) == 8
        assert span.start_time_unix_nano < span.end_time_unix_nano
        known = attributes(span)
        assert known["gen_ai.operation.name"].string_value == "chat"
        seen["spans"] += 1
        seen["input_tokens"] += known["gen_ai.usage.input_tokens"].int_value
        seen["output_tokens"] += known["gen_ai.usage.output_tokens"].int_value
        seen["cost_nano_usd"] += known["tollgate.cost.nano_usd"].int_value


def add_records(message, seen):
    resource = message.resource_logs[0]
    assert attributes(resource.resource)["service.name"].string_value == "tollgate"
    for record in resource.scope_logs[0].log_records:
        assert json.loads(record.body.string_value)["message"] == "call"
        assert record.severity_number == 9 and record.event_name == "tollgate.call"
        assert len(record.trace_id) == 16
        seen["records"] += 1


def timed(message):
    for metric in message.resource_metrics[0].scope_metrics[0].metrics:
        if metric.name == "gen_ai.client.inference.duration":
            points = metric.histogram.data_points
            for point in points:
                assert sum(point.bucket_counts) == point.count
                assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
            return sum(point.count for point in points)
    raise AssertionError(json_format.MessageToJson(message))


if __name__ == "__main__":
    main()
