"""Validates OpenAPI documents. Standard input: a list of them. Standard output: for each the list of its mistakes."""

import json
import sys

try:
    from openapi_spec_validator import OpenAPIV31SpecValidator
except ImportError as e:
    sys.exit(f"{e}: run `make test`, which installs it")


def mistakes(document):
    found = OpenAPIV31SpecValidator(document).iter_errors()
    return ["/" + "/".join(str(part) for part in e.absolute_path) + f": {str(e.message)[:300]}" for e in found]


json.dump([mistakes(document) for document in json.load(sys.stdin)], sys.stdout)
