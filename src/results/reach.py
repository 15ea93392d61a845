"""How far replicas came whose lengths grow: the share of them that passed a length, and after how many updates."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from src.results.collect import Config, Replica, by_config
from src.results.comparison import has_stages
from src.rundir import STAGED


def growing(replicas: Sequence[Replica]) -> list[Replica]:
    """Those whose lengths grow: a curriculum of one stage does not count."""
    told = [replica for replica in replicas if set(STAGED) <= set(replica.together.columns)]
    return [replica for replica in told if has_stages(replica.config)]


LAST = "curriculum.last"
"""The key under which the last length of a curriculum is kept where the length is another one."""


def at_each_length(replicas: Sequence[Replica]) -> list[Replica]:
    """Each replica once for each length that was tested, as if whoever came that far, or farther, had solved the task.

    What comes out can be pooled like any other replicas: one population gives a whole curve. It is one of how far they
    came: a replica need not have been tested on a length that is shorter than the one that it passed.

    Args:
        replicas: of :func:`growing`.
    """
    common = lengths_of(replicas)
    found = []
    for config, alike in by_config(replicas).items():
        values = dict(config)
        last = int(values["task.length"])
        for length in [*(length for length in common if length < last), last]:
            own = Config((values | {"task.length": length, LAST: last}).items())
            found += [replace(replica, config=own, outcome=_outcome(replica, length)) for replica in alike]
    return found


def lengths_of(replicas: Sequence[Replica]) -> list[int]:
    """All lengths on which some replica was tested, the same for all that are compared."""
    tested = {int(length) for replica in replicas for length in replica.curve("length")[:, 0] if length == length}
    return sorted(tested)


def _outcome(replica: Replica, length: int) -> dict[str, object]:
    """The row of a replica if to come to this length had been the task."""
    updates = passed_at(replica, length)
    return replica.outcome | {"length": length, "solved": updates is not None, "solved_at": updates}


def passed_at(replica: Replica, length: int) -> int | None:
    """Updates after which a replica had passed this length or a longer one; None: it has not."""
    steps, reached = replica.curve("step", "reached").astype(float).T
    passed = np.flatnonzero(reached >= length)
    if len(passed):
        return int(steps[passed[0]])
    furthest = replica.outcome["reached"]
    if pd.isna(furthest) or furthest < length:
        return None
    return int(replica.outcome["updates"])  # in the test at the end


def furthest(replica: Replica, updates: int) -> int:
    """The longest length that a replica had passed after so many updates; 0: none."""
    steps, reached = replica.curve("step", "reached").astype(float).T
    passed = reached[(steps <= updates) & ~np.isnan(reached)]
    last = replica.outcome["reached"]
    if replica.outcome["updates"] <= updates and not pd.isna(last):  # in the test at the end
        passed = np.append(passed, last)
    return int(max(passed, default=0))
