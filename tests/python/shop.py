"""A second FastAPI service, whose models share names with those of others and differ from them.

Like service.py it answers only to the gateway, prints its port, and ends with its standard input.
"""

import json
import os
import socket
import sys
import threading
from typing import Literal, Union

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

GATEWAY_SECRET = os.environ["GATEWAY_SECRET"]


class Card(BaseModel):
    kind: Literal["card"]
    number: str = Field(pattern="^[0-9]{4}$")


class Invoice(BaseModel):
    kind: Literal["invoice"]
    days: int = Field(ge=0, le=60)


class Order(BaseModel):
    item: str = Field(min_length=1, max_length=20)
    count: int = Field(gt=0, lt=100)
    note: str | None = None
    payment: Union[Card, Invoice] = Field(discriminator="kind")


REFUSED = {400: {"description": "The body cannot be read", "content": {"application/json": {}}}}
app = FastAPI(title="Shop", description="Orders *per tenant*", responses=REFUSED)


@app.middleware("http")
async def only_the_gateway(request: Request, call_next):
    if request.headers.get("x-api-key") != GATEWAY_SECRET:
        return JSONResponse({"detail": "only the gateway may call this service"}, status_code=403)
    return await call_next(request)


@app.get("/v2/{tenant}/orders")
def orders(tenant: str, limit: int = 10) -> list[Order]:
    return []


@app.post("/v2/{tenant}/orders", status_code=201)
def order(tenant: str, order: Order) -> Order:
    return order


@app.get("/v2/{tenant}/orders/{number}", responses={404: {"description": "There is none"}})
def one(tenant: str, number: int) -> Order:
    raise HTTPException(404, "there is none")


def main():
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
    uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_keep_alive=60)).run(sockets=[listener])


if __name__ == "__main__":
    main()
