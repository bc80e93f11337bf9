"""What a WebSocket client does with a service behind the gateway.

    websocket_client.py URL CA KEY

Everything is asserted; the last line of the output is JSON that names what was done.
"""

import json
import ssl
import sys

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

url, ca, key = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)


def opened(**options):
    headers = {"x-api-key": key}
    return connect(url, ssl=context, additional_headers=headers, proxy=None, max_size=1 << 24, **options)


def texts_and_bytes_come_back():
    with opened() as socket:
        for message in ("", "h\u00e9", b"", b"\0\xff" * 70_000, "x" * 200_000):
            socket.send(message)
            assert socket.recv(timeout=30) == message


def large_messages_in_pieces():
    pieces = ["a" * 10_000, "", "b" * 1_000_000, "c"]
    for compression in ("deflate", None):
        with opened(compression=compression) as socket:
            socket.send(pieces)
            assert socket.recv(timeout=30) == "".join(pieces)


def many_at_once():
    with opened() as socket:
        for number in range(1000):
            socket.send(f"{number}")
        assert [socket.recv(timeout=30) for _ in range(1000)] == [f"{number}" for number in range(1000)]


def pings_are_answered():
    with opened() as socket:
        assert socket.ping().wait(30)


def the_service_learns_who_calls():
    with opened() as socket:
        socket.send("headers")
        seen = {name.lower(): value for name, value in json.loads(socket.recv(timeout=30)).items()}
    assert seen["x-consumer-name"] == "python" and seen["x-forwarded-proto"] == "https", seen
    assert "x-api-key" not in seen, seen


def the_end_comes_through():
    with opened() as socket:
        socket.send("leave")
        try:
            socket.recv(timeout=30)
            raise AssertionError("it goes on")
        except ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4001, "as you wish"), closed


def nobody_comes_in_without_a_key():
    try:
        connect(url, ssl=context, proxy=None)
        raise AssertionError("it was let in")
    except InvalidStatus as refused:
        assert refused.response.status_code == 401, refused


STORIES = (
    texts_and_bytes_come_back,
    large_messages_in_pieces,
    many_at_once,
    pings_are_answered,
    the_service_learns_who_calls,
    the_end_comes_through,
    nobody_comes_in_without_a_key,
)
for story in STORIES:
    print(story.__name__, flush=True)
    story()
print(json.dumps({"passed": [story.__name__ for story in STORIES]}))
