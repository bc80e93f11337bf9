"""What a gRPC client does with a service behind the gateway.

    grpc_client.py ADDRESS [CA NAME]

With CA, a PEM file, it speaks TLS and asks for NAME. Everything is asserted; the last line of the output is JSON that
names what was done.
"""

import json
import queue
import sys
import time
from concurrent import futures

import grpc

KEY = (("x-api-key", "secret002oUdaRJA"),)
DETAILS = b"\x08\x05\x12\x05no ox"


def connect():
    address = sys.argv[1]
    if len(sys.argv) == 2:
        return grpc.insecure_channel(address)
    with open(sys.argv[2], "rb") as file:
        believed = grpc.ssl_channel_credentials(file.read())
    name = (("grpc.ssl_target_name_override", sys.argv[3]),)
    return grpc.secure_channel(address, believed, options=name)


channel = connect()


def unary(name, request, service="test.Echo", metadata=KEY, **options):
    return channel.unary_unary(f"/{service}/{name}").with_call(request, metadata=metadata, **options)


def error(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("it did not fail")


def metadata_passes_both_ways():
    answer, call = unary("Unary", b"abc")
    assert answer == b"cba"
    assert dict(call.initial_metadata())["x-first"] == "1"
    last = dict(call.trailing_metadata())
    assert last["x-last"] == "2" and last["x-bytes-bin"] == b"\x00\xff", last
    told = json.loads(unary("Told", b"", metadata=KEY + (("x-mine", "me"),))[0])
    assert told["metadata"]["x-mine"] == "me" and told["metadata"]["x-consumer-name"] == "me", told
    assert "x-api-key" not in told["metadata"]


def large_messages():
    message = bytes(range(256)) * 12_000
    assert unary("Unary", message)[0] == message[::-1]


def server_streams():
    answers = list(channel.unary_stream("/test.Echo/Many")(b"2000", metadata=KEY))
    assert answers == [b"%d" % number for number in range(2000)]


def client_streams():
    requests = (b"x" * 1000 for _ in range(500))
    assert channel.stream_unary("/test.Echo/Total")(requests, metadata=KEY) == b"500000"


def both_ways_in_turn():
    """Each message is sent after the answer to the one before."""
    asked = queue.Queue()
    answers = channel.stream_stream("/test.Echo/Both")(iter(asked.get, None), metadata=KEY)
    for number in range(50):
        asked.put(b"a%d" % number)
        assert next(answers) == b"A%d" % number
    asked.put(None)
    assert list(answers) == []


def errors_with_details():
    failed = error(lambda: unary("Fail", b""))
    assert failed.code() == grpc.StatusCode.NOT_FOUND, failed
    assert failed.details() == "no ox: \u00fc, 100%", failed.details()
    assert dict(failed.trailing_metadata())["grpc-status-details-bin"] == DETAILS
    answers = channel.unary_stream("/test.Echo/FailLate")(b"", metadata=KEY)
    assert next(answers) == b"one"
    failed = error(lambda: next(answers))
    assert failed.code() == grpc.StatusCode.DATA_LOSS and failed.details() == "lost", failed
    assert dict(failed.trailing_metadata())["grpc-status-details-bin"] == DETAILS


def the_gateways_own_errors():
    for call, code in (
        (lambda: unary("Unary", b"", metadata=()), grpc.StatusCode.UNAUTHENTICATED),
        (lambda: unary("Unary", b"", service="other.Service"), grpc.StatusCode.UNIMPLEMENTED),
        (lambda: unary("None", b""), grpc.StatusCode.UNIMPLEMENTED),
        (lambda: unary("Unary", b"", service="test.Down"), grpc.StatusCode.UNAVAILABLE),
    ):
        failed = error(call)
        assert failed.code() == code, failed


def deadlines_reach_the_service():
    told = json.loads(unary("Told", b"", timeout=20)[0])
    assert told["left"] is not None and told["left"] < 21, told
    start = time.monotonic()
    failed = error(lambda: unary("Rest", b"", timeout=0.5))
    assert failed.code() == grpc.StatusCode.DEADLINE_EXCEEDED, failed
    assert time.monotonic() - start < 10
    assert unary("WasCancelled", b"")[0] == b"yes"


def a_cancelled_call_ends_at_the_service():
    call = channel.unary_unary("/test.Echo/Rest").future(b"", metadata=KEY)
    time.sleep(0.3)
    call.cancel()
    assert call.cancelled()
    assert unary("WasCancelled", b"")[0] == b"yes"


def many_at_once():
    with futures.ThreadPoolExecutor(max_workers=40) as pool:
        answers = pool.map(lambda n: unary("Unary", b"%d" % n)[0], range(400))
        assert list(answers) == [(b"%d" % n)[::-1] for n in range(400)]


STORIES = (
    metadata_passes_both_ways,
    large_messages,
    server_streams,
    client_streams,
    both_ways_in_turn,
    errors_with_details,
    the_gateways_own_errors,
    deadlines_reach_the_service,
    a_cancelled_call_ends_at_the_service,
    many_at_once,
)
for story in STORIES:
    print(story.__name__, flush=True)
    story()
print(json.dumps({"passed": [story.__name__ for story in STORIES]}))
