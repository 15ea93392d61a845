"""python -m tools.reproduction: writes the tables of README, REPRODUCTION and docs anew from the replicas in results/.

A table stands below a line ``<!-- table: NAME -->`` and ends at the next blank line. tools/tables/ makes it.
"""

import re

from tools.tables import TABLES
from tools.tables.words import ROOT

PAGES = [ROOT / "README.md", ROOT / "REPRODUCTION.md", *sorted((ROOT / "docs").glob("*.md"))]


def rewritten(page: str) -> str:
    """A page with all its tables made anew."""

    def table(found: re.Match[str]) -> str:
        return "\n".join([found[1], *TABLES[found[2]]()])

    return re.sub(r"(<!-- table: (\w+) -->)(?:\n\|.*)*", table, page)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(rewritten(page.read_text()))
