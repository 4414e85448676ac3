import pytest

from handler.request_context import RequestContext, request_context

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def test_headers_in_any_case() -> None:
    headers = {
        "X-Request-ID": " order-7/a ",
        "TraceParent": PARENT,
        "tracestate": "vendor=1",
        "X-Request-Start": "t=1700000000.5",
    }
    context = request_context({"body": b""}, headers, "own")
    assert context == RequestContext("order-7/a", "own", PARENT, "vendor=1", 1700000000.5)
    assert context.trace_id == TRACE


def test_entries_of_a_grpc_map() -> None:
    row = {
        "data": b"",
        "request_id": bytearray(b"order-8"),
        "traceparent": PARENT.encode(),
        "tracestate": b"vendor=2",
    }
    assert request_context(row, {}, "own") == RequestContext("order-8", "own", PARENT, "vendor=2")


def test_the_entries_of_a_form_are_no_headers() -> None:
    row = {"data": b"", "request_id": b"order-8"}
    assert request_context(row, {"Content-Type": "multipart/form-data"}, "own").request_id == "own"


@pytest.mark.parametrize("given", ["", "a b", 'a"b', "a\nb", "ü", "x" * 65])
def test_another_id_is_replaced(given: str) -> None:
    assert request_context({}, {"X-Request-Id": given}, "own").request_id == "own"


@pytest.mark.parametrize(
    "given",
    [
        "",
        PARENT.upper(),
        PARENT[:-1],
        f"ff-{TRACE}-b7ad6b7169203331-01",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
        "a" * 10_000,
    ],
)
def test_another_traceparent_counts_as_none(given: str) -> None:
    headers = {"Traceparent": given, "Tracestate": "vendor=1"}
    context = request_context({}, headers, "own")
    assert (context.traceparent, context.tracestate, context.trace_id) == ("", "", "")


def test_a_traceparent_of_a_later_version() -> None:
    later = f"01-{TRACE}-b7ad6b7169203331-01-more"
    assert request_context({}, {"traceparent": later}, "").trace_id == TRACE


def test_a_long_tracestate_is_cut() -> None:
    headers = {"traceparent": PARENT, "tracestate": "v=" + "x" * 1000}
    assert len(request_context({}, headers, "").tracestate) == 512


def test_entries_of_another_type() -> None:
    assert request_context({"request_id": {"a": 1}, "traceparent": "text"}, {}, "own") == (
        RequestContext("own", "own")
    )
