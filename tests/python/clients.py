"""What Python's clients do with a service behind the gateway.

    clients.py CLIENT STORY BASE KEY [CA]

CLIENT is httpx, httpx2 (over HTTP/2) or requests, STORY is everyday or large, BASE the URL of the service as the gateway
offers it, KEY the client's key, CA the PEM file of whom to believe over TLS. Everything is asserted; the last line of the output is JSON that names what was done.
"""

import hashlib
import json
import ssl
import sys
from urllib.parse import urlsplit

import httpx
import requests

LARGE = 100_000_000
BLOCK = bytes(range(256)) * 256


def blocks(size):
    while size > 0:
        yield BLOCK[: min(size, len(BLOCK))]
        size -= len(BLOCK)


def sha256(parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


class Sized:
    """A body for requests whose length is known but which is not in memory."""

    def __init__(self, size):
        self.left, self.size = size, size

    def __len__(self):
        return self.size

    def __iter__(self):
        return iter(lambda: self.read(len(BLOCK)), b"")

    def read(self, size=-1):
        take = self.left if size < 0 else min(size, self.left)
        take = min(take, len(BLOCK))
        start = (self.size - self.left) % len(BLOCK)
        part = BLOCK[start : start + take]
        self.left -= len(part)
        return part


def note_close(closed, answer):
    """Keeps what was answered with the end of the connection: method and status."""
    if answer.headers.get("connection", "").lower() == "close":
        closed.append((answer.request.method, answer.status_code))


class Httpx:
    HTTP2 = False

    def __init__(self, base, key, ca=None):
        self.base = base
        self.verify = ssl.create_default_context(cafile=ca)
        self.ports = set()
        self.closed = []
        self.session = httpx.Client(
            headers={"x-api-key": key},
            timeout=120,
            trust_env=False,
            verify=self.verify,
            http1=not self.HTTP2,
            http2=self.HTTP2,
            event_hooks={"response": [self.note]},
        )

    def note(self, answer):
        assert answer.http_version == ("HTTP/2" if self.HTTP2 else "HTTP/1.1"), answer.http_version
        self.ports.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
        note_close(self.closed, answer)

    def ask(self, method, path, follow=False, **rest):
        return self.session.request(method, self.base + path, follow_redirects=follow, **rest)

    def upload_sized(self, path, size):
        headers = {"Content-Length": str(size)}
        return self.ask("PUT", path, content=blocks(size), headers=headers)

    def upload_chunked(self, path, size):
        return self.ask("POST", path, content=blocks(size))

    def download(self, path):
        digest, size = hashlib.sha256(), 0
        with self.session.stream("GET", self.base + path) as answer:
            assert answer.status_code == 200, answer.status_code
            for part in answer.iter_raw():
                digest.update(part)
                size += len(part)
        return size, digest.hexdigest(), answer.headers

    def multipart(self, path, data, file):
        return self.ask("POST", path, data=data, files={"file": file})

    def without_key(self, path):
        return httpx.get(self.base + path, trust_env=False, verify=self.verify)

    def connections(self):
        return len(self.ports)


class Httpx2(Httpx):
    HTTP2 = True


class Requests:
    def __init__(self, base, key, ca=None):
        self.base = base
        self.closed = []
        self.ca = ca or True
        self.session = requests.Session()
        self.session.hooks["response"] = [lambda answer, **_: note_close(self.closed, answer)]
        self.session.trust_env = False
        self.session.verify = self.ca
        self.session.headers["x-api-key"] = key

    def ask(self, method, path, follow=False, content=None, **rest):
        if content is not None:
            rest["data"] = content
        return self.session.request(
            method, self.base + path, allow_redirects=follow, timeout=120, **rest
        )

    def upload_sized(self, path, size):
        # It sends a stream without a byte in chunks.
        return self.ask("PUT", path, content=Sized(size) if size else b"")

    def upload_chunked(self, path, size):
        return self.ask("POST", path, content=blocks(size))

    def download(self, path):
        digest, size = hashlib.sha256(), 0
        with self.session.get(self.base + path, stream=True, timeout=120) as answer:
            assert answer.status_code == 200, answer.status_code
            for part in answer.raw.stream(1 << 16, decode_content=False):
                digest.update(part)
                size += len(part)
        return size, digest.hexdigest(), answer.headers

    def multipart(self, path, data, file):
        return self.ask("POST", path, data=data, files={"file": file})

    def without_key(self, path):
        return requests.get(self.base + path, timeout=120, verify=self.ca)

    def connections(self):
        pools = self.session.get_adapter(self.base).poolmanager.pools
        return sum(pools[key].num_connections for key in pools.keys())


def expect(answer, status):
    assert answer.status_code == status, (answer.status_code, answer.headers, answer.text)
    return answer


def methods(client):
    made = expect(client.ask("POST", "/items/", json={"name": "two"}), 201)
    place = urlsplit(made.headers["location"]).path
    prefix = urlsplit(client.base).path
    assert place == f"{prefix}/items/{made.json()['id']}", place
    path = place.removeprefix(prefix)
    assert expect(client.ask("GET", path), 200).json() == {"name": "two"}
    assert expect(client.ask("PUT", path, json={"name": "zwei"}), 200).json() == {"name": "zwei"}
    gone = expect(client.ask("DELETE", path), 204)
    assert gone.content == b"" and "content-length" not in gone.headers
    expect(client.ask("GET", path), 404)
    expect(client.ask("POST", path), 405)
    seen = expect(client.ask("PATCH", "/echo", content=b"p"), 200).json()
    assert (seen["method"], seen["body"]) == ("PATCH", "p")
    expect(client.ask("OPTIONS", "/echo"), 200)


def queries(client):
    answer = expect(client.ask("GET", "/items/?limit=3&tag=a&tag=b%26c&tag=%C3%BC+%20x"), 200).json()
    assert (answer["limit"], answer["tags"]) == (3, ["a", "b&c", "\u00fc  x"]), answer
    query = "a=1&a=2&b=&c&d=%2F%2f&e=x+y%20z&f=%E2%82%AC&g=[1]"
    answer = expect(client.ask("GET", "/echo?" + query), 200)
    # Byte for byte what the client made of it (each of them escapes a little differently).
    sent = str(answer.request.url).split("?", 1)[1]
    assert answer.json()["query"] == sent, (answer.json()["query"], sent)


def forms_and_files(client):
    fields = {"name": "J\u00f6rg & Co", "colours": ["red", "gr\u00fcn"]}
    assert expect(client.ask("POST", "/form", data=fields), 200).json() == fields
    expect(client.ask("POST", "/form", data={"colours": "red"}), 422)
    content = b"".join(blocks(3_000_001))
    file = ("\u00fcber.bin", content, "application/octet-stream")
    got = expect(client.multipart("/upload", {"note": "n"}, file), 200).json()
    assert got == {
        "note": "n",
        "file": "\u00fcber.bin",
        "size": len(content),
        "sha256": sha256([content]),
    }, got


def redirects(client):
    prefix = urlsplit(client.base).path
    for asked, there in [("/items", "/items/"), ("/items?limit=2", "/items/?limit=2")]:
        answer = expect(client.ask("GET", asked), 307)
        to = urlsplit(answer.headers["location"])
        assert to.path + ("?" + to.query if to.query else "") == prefix + there, to
        assert to.netloc in ("", urlsplit(client.base).netloc), to
        followed = expect(client.ask("GET", asked, follow=True), 200)
        assert len(followed.history) == 1
    made = expect(client.ask("POST", "/items", follow=True, json={"name": "redirected"}), 201)
    expect(client.ask("DELETE", f"/items/{made.json()['id']}"), 204)


def bodies(client):
    for size in (0, 1, 65_536, 1_000_003):
        wanted = sha256(blocks(size))
        got = expect(client.upload_sized("/sink", size), 200).json()
        assert (got["size"], got["sha256"]) == (size, wanted), got
        assert got["content_length"] == str(size) and got["transfer_encoding"] is None, got
        got = expect(client.upload_chunked("/sink", size), 200).json()
        assert (got["size"], got["sha256"]) == (size, wanted), got
        assert got["content_length"] is None and got["transfer_encoding"] == "chunked", got
        for how in ("?length=true", ""):
            got_size, digest, headers = client.download(f"/download/{size}{how}")
            assert (got_size, digest) == (size, wanted), (size, how, got_size)
            if how:
                assert headers["content-length"] == str(size)


def without_bodies(client):
    got = expect(client.ask("GET", "/echo"), 200)
    head = expect(client.ask("HEAD", "/echo"), 200)
    assert head.content == b"" and head.headers["content-type"] == got.headers["content-type"]
    assert int(head.headers["content-length"]) > 0
    nothing = expect(client.ask("GET", "/nothing"), 204)
    assert nothing.content == b"" and "transfer-encoding" not in nothing.headers
    tag = expect(client.ask("GET", "/etag"), 200).headers["etag"]
    for method in ("GET", "HEAD"):
        same = expect(client.ask(method, "/etag", headers={"If-None-Match": tag}), 304)
        assert same.content == b"" and same.headers["etag"] == tag
        assert "transfer-encoding" not in same.headers
    expect(client.ask("GET", "/etag", headers={"If-None-Match": '"v0"'}), 200)


def cookies(client):
    prefix = urlsplit(client.base).path
    expect(client.ask("GET", "/cookies"), 200)
    jar = getattr(client.session.cookies, "jar", client.session.cookies)
    paths = {cookie.name: cookie.path for cookie in jar}
    assert paths["session"].rstrip("/") == prefix and paths["cart"] == prefix + "/items", paths
    seen = dict(expect(client.ask("GET", "/echo"), 200).json()["headers"])
    assert seen["cookie"] == "session=s1", seen


def heads(client):
    answer = expect(client.ask("GET", "/echo", headers={"X-Own": "v", "Accept": "a/b"}), 200)
    seen = dict(answer.json()["headers"])
    assert seen["x-own"] == "v" and seen["accept"] == "a/b", seen
    assert seen["x-consumer-name"] == "python" and seen["x-gateway"] == "True", seen
    scheme = urlsplit(client.base).scheme
    assert seen["x-forwarded-proto"] == scheme and seen["x-forwarded-for"] == "127.0.0.1", seen
    assert seen["x-request-id"] == answer.headers["x-request-id"], seen
    assert answer.headers["server"] == "uvicorn"
    refused = expect(client.without_key("/echo"), 401)
    assert refused.headers["www-authenticate"].startswith("ApiKey"), refused.headers
    assert refused.json()["code"] == "unauthorized"


def everyday(client):
    stories = [methods, queries, forms_and_files, redirects, bodies, without_bodies, heads, cookies]
    for story in stories:
        story(client)
    # One after the other over a connection that is kept: every body ended where it should. Only where the service
    # redirects an upload without reading it, the answer may come before the upload, and ends the connection.
    assert all(answer == ("POST", 307) for answer in client.closed), client.closed
    assert 1 <= client.connections() <= 1 + len(client.closed), (client.connections(), client.closed)
    return [story.__name__ for story in stories]


def large(client):
    wanted = sha256(blocks(LARGE))
    for upload, length in ((client.upload_sized, str(LARGE)), (client.upload_chunked, None)):
        got = expect(upload("/sink", LARGE), 200).json()
        assert (got["size"], got["sha256"], got["content_length"]) == (LARGE, wanted, length), got
    for how in ("?length=true", ""):
        size, digest, _ = client.download(f"/download/{LARGE}{how}")
        assert (size, digest) == (LARGE, wanted), (how, size)
    return ["up with a length", "up in chunks", "down with a length", "down in chunks"]


def main():
    name, story, *where = sys.argv[1:]
    client = {"httpx": Httpx, "httpx2": Httpx2, "requests": Requests}[name](*where)
    done = {"everyday": everyday, "large": large}[story](client)
    print(json.dumps({"client": name, "story": story, "passed": done}))


if __name__ == "__main__":
    main()
