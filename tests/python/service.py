"""A FastAPI service as one would write it, to stand behind the gateway in the tests.

It answers only to the gateway (docs/backends.md). It prints the port that the system gave it, as one line of
JSON, and ends when its standard input does, so that a test that dies takes it along.
"""

import asyncio
import hashlib
import hmac
import json
import os
import socket
import sys
import threading

import uvicorn
from fastapi import APIRouter, Body, FastAPI, File, Form, Query, Request, Response, UploadFile
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel

GATEWAY_SECRET = os.environ["GATEWAY_SECRET"].encode()
if not GATEWAY_SECRET:
    raise SystemExit("GATEWAY_SECRET is empty")
BLOCK = bytes(range(256)) * 256


class OnlyTheGateway:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        given = dict(scope["headers"]).get(b"x-api-key", b"")
        if hmac.compare_digest(given, GATEWAY_SECRET):
            return await self.app(scope, receive, send)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        refusal = JSONResponse({"detail": "only the gateway may call this service"}, status_code=403)
        await refusal(scope, receive, send)


class Refusal(BaseModel):
    detail: str


items = APIRouter(prefix="/items")
stored = {1: {"name": "one"}}


@items.get("/")
def list_items(limit: int = 10, tag: list[str] = Query(default=[])):
    return {"items": stored, "limit": limit, "tags": tag}


@items.post("/", status_code=201)
def create_item(response: Response, name: str = Body(embed=True)):
    number = max(stored, default=0) + 1
    stored[number] = {"name": name}
    response.headers["Location"] = f"/items/{number}"
    return {"id": number, "name": name}


@items.get("/{number}", responses={404: {"model": Refusal}})
def read_item(number: int):
    if number not in stored:
        return JSONResponse({"detail": "no such item"}, status_code=404)
    return stored[number]


@items.put("/{number}")
def replace_item(number: int, name: str = Body(embed=True)):
    stored[number] = {"name": name}
    return stored[number]


@items.delete("/{number}", status_code=204)
def delete_item(number: int):
    stored.pop(number, None)


# The framework itself says of no operation that it refuses a body that cannot be read.
app = FastAPI(responses={400: {"model": Refusal, "description": "The body cannot be read"}})
app.include_router(items)


@app.get("/health")
def health():
    return {"status": "ok"}


@app.api_route("/echo", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def echo(request: Request):
    body = await request.body()
    return {
        "method": request.method,
        "path": request.scope["raw_path"].decode(),
        "query": request.scope["query_string"].decode(),
        "headers": [[name.decode(), value.decode("latin-1")] for name, value in request.headers.raw],
        "body": body.decode("latin-1"),
    }


@app.post("/form")
def form(name: str = Form(), colours: list[str] = Form(default=[])):
    return {"name": name, "colours": colours}


@app.post("/upload")
async def upload(note: str = Form(), file: UploadFile = File()):
    digest, size = hashlib.sha256(), 0
    while block := await file.read(1 << 20):
        digest.update(block)
        size += len(block)
    return {"note": note, "file": file.filename, "size": size, "sha256": digest.hexdigest()}


@app.api_route("/sink", methods=["POST", "PUT"])
async def sink(request: Request):
    """Takes a body as a stream and keeps none of it."""
    digest, size = hashlib.sha256(), 0
    async for block in request.stream():
        digest.update(block)
        size += len(block)
    return {
        "size": size,
        "sha256": digest.hexdigest(),
        "content_length": request.headers.get("content-length"),
        "transfer_encoding": request.headers.get("transfer-encoding"),
    }


@app.get("/download/{size}")
def download(size: int, length: bool = False):
    """Sends `size` bytes as a stream: in chunks, or with a length."""

    async def blocks():
        left = size
        while left > 0:
            yield BLOCK[: min(left, len(BLOCK))]
            left -= len(BLOCK)

    headers = {"Content-Length": str(size)} if length else {}
    return StreamingResponse(blocks(), media_type="application/octet-stream", headers=headers)


@app.api_route("/etag", methods=["GET", "HEAD"])
def etag(request: Request):
    tag = '"v1"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    return JSONResponse({"version": 1}, headers={"ETag": tag, "Cache-Control": "no-cache"})


@app.get("/nothing", status_code=204)
def nothing():
    return None


@app.get("/cookies")
def cookies(response: Response):
    response.set_cookie("session", "s1", path="/", httponly=True)
    response.set_cookie("cart", "c1", path="/items")
    return {}


@app.get("/sleep/{milliseconds}")
async def sleep(milliseconds: int):
    await asyncio.sleep(milliseconds / 1000)
    return {"slept": milliseconds}


app.add_middleware(OnlyTheGateway)  # the middleware added last is asked first


def end_with_stdin():
    sys.stdin.buffer.read()
    os._exit(0)


def main():
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    threading.Thread(target=end_with_stdin, daemon=True).start()
    config = uvicorn.Config(app, log_level="warning", timeout_keep_alive=60)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
