"""Runs schemathesis over the merged document, through the gate, with its own checks: every answer must have a status, a
media type, headers and a body that the document names.

    fuzz.py GATEWAY KEY

It runs once with the key, and once without. The last line of standard output is JSON: for each run its exit code, what
it answered by whom and with which status, and what got in without a key. What it found stands before that.
"""

import collections
import json
import os
import sys
import tempfile

import schemathesis
from schemathesis.cli import schemathesis as command

gateway, key = sys.argv[1:]
# They answer as long, and as late, as they are asked to: no number of examples would ever be the last.
ENDLESS = ("/api/v1/download/{size}", "/api/v1/sleep/{milliseconds}")
CHECKS = "status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance"
seen = collections.Counter()
strangers = set()


def of_gateway(response):
    return response.headers.get("content-type", [""])[0].startswith("application/problem+json")


@schemathesis.hook
def after_call(context, case, response):
    own = of_gateway(response)
    seen[f"{'gateway' if own else 'service'} {response.status_code}"] += 1
    if not own and "x-api-key" not in {name.lower() for name in response.request.headers}:
        strangers.add(f"{case.operation.label}: {response.status_code}")


def run(*more):
    seen.clear()
    strangers.clear()
    arguments = ["run", f"{gateway}/docs/openapi.json", "--seed=1", "--no-color", "--continue-on-failure"]
    arguments += ["--generation-database=none", "--warnings=off", "--request-timeout=30", *more]
    for path in ENDLESS:
        arguments.append(f"--exclude-path={path}")
    try:
        code = command.main(arguments, standalone_mode=False)
    except SystemExit as end:
        code = end.code
    return {"exit": code, "answers": dict(sorted(seen.items())), "strangers": sorted(strangers)}


# It keeps notes where it runs.
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
# The checks of the one with a key try each operation without one, too.
known = run(f"--header=x-api-key: {key}", f"--checks={CHECKS},ignored_auth", "--max-examples=10")
unknown = run(f"--checks={CHECKS}", "--max-examples=2", "--phases=fuzzing")
print(json.dumps({"known": known, "unknown": unknown}))
