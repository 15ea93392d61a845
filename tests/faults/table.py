"""python -m tests.faults.table COUNTS: the page that says what was tried, from the counts that the tests left."""

import json
import subprocess
import sys
from pathlib import Path

from tests.faults.server import ROOT

PAGE = (ROOT / "tests" / "faults" / "page.md").read_text()
"""The words of the page."""


def main() -> None:
    """Prints the page."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    rows = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        what = row.pop("what")
        known = counts.setdefault(what, dict.fromkeys(row, 0))
        for name, count in row.items():
            known[name] += count
    print(PAGE, end="")
    for what in sorted(counts):
        print(f"| {what} | {', '.join(f'{count:,} {name}' for name, count in counts[what].items())} |")
    print(f"\nCommand: `make test-faults`; commit {commit}.")


if __name__ == "__main__":
    main()
