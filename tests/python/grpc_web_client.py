"""What a gRPC-Web client does with a gRPC service behind the gateway.

    grpc_web_client.py BASE CA

BASE is the gateway's https URL, CA the PEM file of whom to believe. It calls over HTTP/1.1 and HTTP/2, in the binary and in
the text form. Everything is asserted; the last line of the output is JSON that names what was done.
"""

import base64
import json
import ssl
import struct
import sys

import httpx

KEY = {"x-api-key": "secret002oUdaRJA"}
DETAILS = b"\x08\x05\x12\x05no ox"


def frame(message):
    return struct.pack(">BI", 0, len(message)) + message


class Frames:
    """Reads frames out of a body as it comes."""

    def __init__(self, text):
        self.text, self.encoded, self.bytes = text, b"", b""

    def take(self, piece):
        if self.text:
            self.encoded += piece
            whole = len(self.encoded) - len(self.encoded) % 4
            # Groups by themselves, since each may be the padded end of a piece.
            groups = (self.encoded[at : at + 4] for at in range(0, whole, 4))
            piece = b"".join(base64.b64decode(group, validate=True) for group in groups)
            self.encoded = self.encoded[whole:]
        self.bytes += piece
        while len(self.bytes) >= 5:
            kind, length = struct.unpack(">BI", self.bytes[:5])
            if len(self.bytes) < 5 + length:
                return
            yield kind, self.bytes[5 : 5 + length]
            self.bytes = self.bytes[5 + length :]

    def end(self):
        assert not self.encoded and not self.bytes, (self.encoded, self.bytes)


class Client:
    def __init__(self, base, context, http2, text):
        self.made_of = base, context, http2, text
        self.base, self.text = base, text
        self.version = "HTTP/2" if http2 else "HTTP/1.1"
        self.http = httpx.Client(http1=not http2, http2=http2, verify=context, trust_env=False, timeout=60)
        self.type = "application/grpc-web-text+proto" if text else "application/grpc-web+proto"

    def another(self):
        """One with connections of its own."""
        return Client(*self.made_of)

    def start(self, method, *messages, service="test.Echo", headers=KEY, body=None):
        """An answer whose body is still to be read."""
        if body is None:
            body = b"".join(frame(message) for message in messages)
            body = base64.b64encode(body) if self.text else body
        headers = {"content-type": self.type, "x-grpc-web": "1", **headers}
        answer = self.http.stream("POST", f"{self.base}/{service}/{method}", content=body, headers=headers)
        return answer

    def read(self, answer):
        """The messages and trailers of an answer, one after the other."""
        assert answer.status_code == 200, (answer.status_code, answer.headers)
        assert answer.http_version == self.version, answer.http_version
        kind = answer.headers["content-type"].removesuffix("+proto")
        assert kind == self.type.removesuffix("+proto"), answer.headers
        if "grpc-status" in answer.headers:
            assert answer.read() == b""
            yield 0x80, dict(answer.headers)
            return
        frames = Frames(self.text)
        for piece in answer.iter_raw():
            for kind, content in frames.take(piece):
                if kind == 0x80:
                    lines = content.decode().removesuffix("\r\n").split("\r\n")
                    content = dict(line.split(":", 1) for line in lines)
                yield kind, content
        frames.end()

    def call(self, *call, **options):
        """All messages, and the trailers."""
        with self.start(*call, **options) as answer:
            *messages, (kind, trailers) = self.read(answer)
        assert kind == 0x80 and all(kind == 0 for kind, _ in messages), messages
        return [message for _, message in messages], trailers

    def fail(self, *call, **options):
        """The status of a call that fails at once."""
        messages, trailers = self.call(*call, **options)
        assert messages == []
        return int(trailers["grpc-status"]), trailers


def metadata_passes_both_ways(client):
    messages, trailers = client.call("Unary", b"abc")
    assert messages == [b"cba"]
    assert trailers["grpc-status"].strip() == "0" and trailers["x-last"] == "2", trailers
    assert base64.b64decode(trailers["x-bytes-bin"] + "=") == b"\x00\xff", trailers
    told, _ = client.call("Told", b"", headers=KEY | {"x-mine": "me"})
    metadata = json.loads(told[0])["metadata"]
    assert metadata["x-mine"] == "me" and metadata["x-consumer-name"] == "me", metadata
    assert "x-grpc-web" not in metadata and "x-api-key" not in metadata, metadata


def large_messages(client):
    message = bytes(range(256)) * 8_000 + b"end"
    assert client.call("Unary", message)[0] == [message[::-1]]


def server_streams(client):
    messages, _ = client.call("Many", b"2000")
    assert messages == [b"%d" % number for number in range(2000)]


def a_message_comes_as_soon_as_it_is_sent(client):
    with client.start("InSteps", b"") as answer:
        answers = client.read(answer)
        assert next(answers) == (0, b"first")
        client.call("GoOn", b"")
        assert next(answers) == (0, b"second")
        assert next(answers)[0] == 0x80


def client_streams_that_are_known_from_the_start(client):
    messages, _ = client.call("Total", *(b"x" * 1000 for _ in range(100)))
    assert messages == [b"100000"]


def errors_with_details(client):
    status, trailers = client.fail("Fail", b"")
    assert status == 5 and trailers["grpc-message"] == "no ox: %C3%BC, 100%25", trailers
    assert base64.b64decode(trailers["grpc-status-details-bin"] + "==") == DETAILS, trailers
    messages, trailers = client.call("FailLate", b"")
    assert messages == [b"one"] and trailers["grpc-status"] == "15", (messages, trailers)
    assert base64.b64decode(trailers["grpc-status-details-bin"] + "==") == DETAILS, trailers


def the_gateways_own_errors(client):
    assert client.fail("Unary", b"", headers={})[0] == 16
    assert client.fail("Unary", b"", service="other.Service")[0] == 12
    assert client.fail("None", b"")[0] == 12
    assert client.fail("Unary", b"", service="test.Down")[0] == 14
    if client.text:
        status, trailers = client.fail("Unary", body=b"AAAA\n")
        assert status == 13 and "base64" in trailers["grpc-message"], trailers


def deadlines_reach_the_service(client):
    told, _ = client.call("Told", b"", headers=KEY | {"grpc-timeout": "20S"})
    assert json.loads(told[0])["left"] < 21, told
    assert client.fail("Rest", b"", headers=KEY | {"grpc-timeout": "300m"})[0] == 4
    assert client.call("WasCancelled", b"")[0] == [b"yes"]


def a_call_that_the_page_leaves_ends_at_the_service(client):
    page = client.another()
    page.http.timeout = httpx.Timeout(60, read=0.3)
    try:
        page.call("Rest", b"")
        raise AssertionError("it came to an end")
    except httpx.ReadTimeout:
        # Over HTTP/2, httpx doesn't take a single call back.
        page.http.close()
    assert client.call("WasCancelled", b"")[0] == [b"yes"]


def pages_of_other_origins_see_what_they_need(client):
    for call in (("Unary", b"a"), ("Fail", b"")):
        with client.start(*call, headers=KEY | {"origin": "https://app.test"}) as answer:
            assert answer.headers["access-control-allow-origin"] == "https://app.test", answer.headers
            exposed = answer.headers["access-control-expose-headers"]
            assert "grpc-status" in exposed and "grpc-message" in exposed, exposed


STORIES = (
    metadata_passes_both_ways,
    large_messages,
    server_streams,
    a_message_comes_as_soon_as_it_is_sent,
    client_streams_that_are_known_from_the_start,
    errors_with_details,
    the_gateways_own_errors,
    deadlines_reach_the_service,
    a_call_that_the_page_leaves_ends_at_the_service,
    pages_of_other_origins_see_what_they_need,
)


def main():
    base, ca = sys.argv[1:]
    context = ssl.create_default_context(cafile=ca)
    passed = []
    for http2 in (False, True):
        for text in (False, True):
            client = Client(base, context, http2, text)
            for story in STORIES:
                name = f"{story.__name__} ({client.version}, {client.type})"
                print(name, flush=True)
                story(client)
                passed.append(name)
    print(json.dumps({"passed": passed}))


main()
