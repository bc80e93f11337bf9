"""Validates many documents by one JSON Schema.

Standard input: {"schema": ..., "documents": [...]}. Standard output: for each document the list of its mistakes.
Exit code 1 and a line on standard error when the schema itself is none.
"""

import json
import sys

try:
    from jsonschema import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for
except ImportError as e:
    sys.exit(f"{e}: run `make test`, which installs it")


def mistakes(validator, document):
    found = sorted(validator.iter_errors(document), key=lambda e: [str(part) for part in e.absolute_path])
    return ["/" + "/".join(str(part) for part in e.absolute_path) + f": {e.message}" for e in found]


def main():
    asked = json.load(sys.stdin)
    schema = asked["schema"]
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as e:
        sys.exit(f"the schema is no JSON Schema: {e.message}, at {e.json_path}")
    validator = kind(schema)
    json.dump([mistakes(validator, document) for document in asked["documents"]], sys.stdout)


main()
