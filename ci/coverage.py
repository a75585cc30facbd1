"""Compares gcov's counts for buddy.c with the page that lists what no caller can
reach.

Reads the rows of the page's table that begin with a number: a line of the
kernel's file, a function, a condition, how many of the line's branches are not
taken (0 if the line itself does not run), and a reason.
"""

import collections
import hashlib
import json
import pathlib
import re
import sys


def main():
    page = pathlib.Path(sys.argv[1]).read_text()
    [unit] = [
        file for file in json.load(sys.stdin)["files"] if file["file"].endswith("/gpu/buddy.c")
    ]
    source = pathlib.Path(unit["file"]).read_bytes()

    lines = {}
    branches = collections.Counter()
    missed = collections.Counter()
    for line in unit["lines"]:
        number = line["line_number"]
        lines[number] = lines.get(number, 0) + line["count"]
        for branch in ordinary(line["branches"]):
            branches[number] += 1
            missed[number] += branch["count"] == 0
    missed_lines = [number for number, count in lines.items() if count == 0]
    all_branches, all_missed = branches.total(), missed.total()
    print(f"lines:    {ratio(len(lines) - len(missed_lines), len(lines))}")
    print(f"branches: {ratio(all_branches - all_missed, all_branches)}")

    recorded = f"sha256 {hashlib.sha256(source).hexdigest()}" in page
    if not recorded:
        print(f"NOT TESTED: unreached lines, because {sys.argv[1]} is about another buddy.c")
    known = dict(rows(page)) if recorded else {}
    wrong = False
    for number in sorted(lines.keys() | known.keys()):
        found, expected = missed[number], known.get(number, 0)
        text = source.decode().splitlines()[number - 1].strip()
        if lines.get(number) == 0:
            print(f"  line {number} does not run: {text}")
            wrong = True
        if found > expected:
            print(f"  line {number}: {found} of {branches[number]} branches not taken: {text}")
            wrong = True
        if found < expected:
            print(f"  line {number}: {found} branches not taken, {expected} are listed: {text}")
            wrong = True
    return 1 if recorded and wrong else 0


def ordinary(branches):
    """The branches in the source. For the compiler, a call that may unwind with a BUG is
    a branch too: a pair, to the next statement and to the cleanup."""
    pairs = zip(branches[::2], branches[1::2], strict=True)
    return [branch for pair in pairs if not any(b["throw"] for b in pair) for branch in pair]


def rows(page):
    for line in page.splitlines():
        row = re.match(r"\| (\d+) \|.*?\| (\d+) \|[^|]*\|$", line)
        if row:
            yield int(row[1]), int(row[2])


def ratio(part, whole):
    return f"{part} of {whole}, {100 * part / whole:.1f} %"


sys.exit(main())
