"""str.lower() of this Python, for comparison.

Writes one JSON line with the version of its Unicode tables and the ranges of code
points that they do not know, then answers each line, a JSON array of strings, with the
array of their lower cases.
"""
import itertools
import json
import sys
import unicodedata

unknown = []
points = (c for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c)) == "Cn")
for _, run in itertools.groupby(enumerate(points), lambda p: p[1] - p[0]):
    run = [c for _, c in run]
    unknown.append([run[0], run[-1]])
print(json.dumps({"unicode": unicodedata.unidata_version, "unknown": unknown}), flush=True)

for line in sys.stdin:
    print(json.dumps([s.lower() for s in json.loads(line)]), flush=True)
