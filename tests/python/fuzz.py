"""Calls everything that the merged document describes, with whatever it allows and more, and holds the answers
against it.

    fuzz.py GATEWAY KEY

What counts are answers of the gateway's own (their `type` says so), and media types and statuses that the document
lost: each must be named by the document, with its schema. What a service itself does otherwise than it says is the
service's affair. The last line of standard output is JSON: calls, statuses, failures.
"""

import collections
import json
import sys

import hypothesis
import jsonschema
import requests
import schemathesis
from schemathesis import GenerationMode

gateway, key = sys.argv[1:]
document = requests.get(f"{gateway}/docs/openapi.json", timeout=30).json()
statuses = collections.Counter()
failures = []


# Downloads of any size, and sleeps of any length, are no matter of documents.
ENDLESS = ("/download/", "/sleep/")


def of_gateway(answer):
    return answer.headers.get("content-type", [""])[0].startswith("application/problem+json")


def resolved(node):
    while "$ref" in node:
        target = document
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step.replace("~1", "/").replace("~0", "~")]
        node = target
    return node


def has_no_body(answer):
    return answer.request.method == "HEAD"


def judge(operation, answer):
    """What the document does not say of an answer of the gateway's own."""
    named = operation["responses"]
    status = str(answer.status_code)
    found = named.get(status) or named.get(f"{status[0]}XX") or named.get("default")
    if found is None:
        return f"status {status} is not named"
    content = resolved(found).get("content", {})
    media = content.get("application/problem+json") or content.get("*/*")
    if media is None:
        return f"{status}: application/problem+json is not named, but {sorted(content)}"
    if has_no_body(answer):
        return None
    schema = {**media.get("schema", {}), "components": document["components"]}
    mistakes = list(jsonschema.Draft202012Validator(schema).iter_errors(answer.json()))
    return f"{status}: {mistakes[0].message}" if mistakes else None


def main():
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=gateway)
    calls = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if any(word in operation.path for word in ENDLESS):
            continue
        described = document["paths"][operation.path][operation.method.lower()]
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            # Of a caller that is known, and of one without a key.
            for headers in ({"x-api-key": key}, {}):

                @hypothesis.settings(
                    max_examples=12 if headers else 2,
                    deadline=None,
                    database=None,
                    derandomize=True,
                    suppress_health_check=list(hypothesis.HealthCheck),
                )
                @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
                def call(case):
                    nonlocal calls
                    try:
                        answer = case.call(headers=headers, timeout=30)
                    except requests.exceptions.InvalidHeader:
                        return  # the client refuses to send it
                    calls += 1
                    own = of_gateway(answer)
                    statuses[f"{'gateway' if own else 'service'} {answer.status_code}"] += 1
                    if own and (complaint := judge(described, answer)):
                        failures.append(f"{operation.method} {operation.path}: {complaint}")
                    if not own and not headers and described["security"]:
                        failures.append(f"{operation.method} {operation.path}: let in without a key")

                try:
                    call()
                except hypothesis.errors.Unsatisfiable:
                    pass  # there is nothing that is not allowed
    print(json.dumps({"calls": calls, "statuses": statuses, "failures": sorted(set(failures))}))


main()
