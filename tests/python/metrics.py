"""Reads an exposition from standard input with the reference parser of its format and prints, as JSON, all samples."""

import json
import math
import sys

from prometheus_client import parser
from prometheus_client.openmetrics import parser as open_parser

parse = open_parser.text_string_to_metric_families if sys.argv[1] == "openmetrics" else parser.text_string_to_metric_families
samples = [
    {"family": family.name, "type": family.type, "name": sample.name, "labels": sample.labels, "value": sample.value}
    for family in parse(sys.stdin.read())
    for sample in family.samples
]
assert samples and all(math.isfinite(sample["value"]) for sample in samples)
json.dump(samples, sys.stdout)
