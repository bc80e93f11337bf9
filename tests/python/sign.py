"""Signs a request (RFC 9421). Standard input: what is to be signed. Standard output: its headers."""

import json
import sys

try:
    from http_message_signatures import HTTPMessageSigner, MappingKeyResolver, algorithms
except ImportError as e:
    sys.exit(f"{e}: run `make test`, which installs it")

ALGORITHMS = {"hmac-sha256": algorithms.HMAC_SHA256, "ed25519": algorithms.ED25519}


class Request:
    def __init__(self, asked):
        self.method, self.url, self.headers = asked["method"], asked["url"], dict(asked["headers"])


asked = json.load(sys.stdin)
key = asked["key"].encode()
signer = HTTPMessageSigner(
    signature_algorithm=ALGORITHMS[asked["algorithm"]],
    key_resolver=MappingKeyResolver(public_keys={}, private_keys={asked["keyid"]: key}),
)
request = Request(asked)
body = asked["body"].encode()
signer.sign(
    request,
    key_id=asked["keyid"],
    nonce=asked.get("nonce"),
    covered_component_ids=tuple(asked["cover"]),
    body=body or None,
)
json.dump(request.headers, sys.stdout)
