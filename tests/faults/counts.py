"""How much is tried, and where the counts of it go: ``make test-faults`` makes docs/faults.md of them."""

import json
import os
from pathlib import Path

FULL = os.environ.get("FAULTS") == "full"
"""Whether everything is tried; else a short version."""

FILE = os.environ.get("FAULTS_COUNTS")


def note(what: str, **counts: int) -> None:
    """Adds one line of counts to the file that is asked for, if one is."""
    if FILE is not None:
        with Path(FILE).open("a") as file:
            file.write(json.dumps({"what": what, **counts}) + "\n")
