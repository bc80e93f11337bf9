"""A gRPC service to stand behind the gateway in the tests, with methods of bytes, so that nothing has to be generated.

It prints the port that the system gave it, as one line of JSON, and ends when its standard input does.
"""

import json
import sys
import threading
import time
from concurrent import futures

import grpc

DETAILS = b"\x08\x05\x12\x05no ox"
cancelled = threading.Event()
go_on = threading.Event()


def unary(request, context):
    context.send_initial_metadata((("x-first", "1"),))
    context.set_trailing_metadata((("x-last", "2"), ("x-bytes-bin", b"\x00\xff")))
    return request[::-1]


def told(request, context):
    """What the service was told of the call."""
    metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
    left = context.time_remaining()
    return json.dumps({"metadata": metadata, "left": left, "peer": context.peer()}).encode()


def many(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def total(requests, context):
    return b"%d" % sum(len(request) for request in requests)


def both(requests, context):
    for request in requests:
        yield request.upper()


def fail(request, context):
    context.set_trailing_metadata((("grpc-status-details-bin", DETAILS),))
    context.abort(grpc.StatusCode.NOT_FOUND, "no ox: \u00fc, 100%")


def fail_late(request, context):
    yield b"one"
    context.set_trailing_metadata((("grpc-status-details-bin", DETAILS),))
    context.abort(grpc.StatusCode.DATA_LOSS, "lost")


def rest(request, context):
    context.add_callback(cancelled.set)
    while context.is_active():
        time.sleep(0.01)
    return b"never"


def was_cancelled(request, context):
    """Whether a call of Rest has ended since this was asked last."""
    ended = cancelled.wait(10)
    cancelled.clear()
    return b"yes" if ended else b"no"


def in_steps(request, context):
    """The second message is sent when GoOn was called, who is only called when the first has come."""
    yield b"first"
    yield b"second" if go_on.wait(10) else b"nobody called"
    go_on.clear()


def call_to_go_on(request, context):
    go_on.set()
    return b""


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Told": grpc.unary_unary_rpc_method_handler(told),
    "Many": grpc.unary_stream_rpc_method_handler(many),
    "Total": grpc.stream_unary_rpc_method_handler(total),
    "Both": grpc.stream_stream_rpc_method_handler(both),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
    "Rest": grpc.unary_unary_rpc_method_handler(rest),
    "InSteps": grpc.unary_stream_rpc_method_handler(in_steps),
    "GoOn": grpc.unary_unary_rpc_method_handler(call_to_go_on),
    "WasCancelled": grpc.unary_unary_rpc_method_handler(was_cancelled),
}

server = grpc.server(futures.ThreadPoolExecutor(max_workers=64))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", METHODS),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(json.dumps({"port": port}), flush=True)
sys.stdin.read()
server.stop(0)
