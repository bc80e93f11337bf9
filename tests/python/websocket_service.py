"""A WebSocket service to stand behind the gateway in the tests: it sends back what it gets, and what it was asked with.

It prints the port that the system gave it, as one line of JSON, and ends when its standard input does.
"""

import json
import sys
import threading

from websockets.sync.server import serve


def echo(connection):
    for message in connection:
        if message == "headers":
            connection.send(json.dumps(dict(connection.request.headers.raw_items())))
        elif message == "leave":
            return connection.close(4001, "as you wish")
        else:
            connection.send(message)


with serve(echo, "127.0.0.1", 0, max_size=1 << 24) as server:
    print(json.dumps({"port": server.socket.getsockname()[1]}), flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    server.shutdown()
