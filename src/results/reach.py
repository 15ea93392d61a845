"""How far replicas came whose lengths grow: the share of them that passed each length, and after how many updates."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from src.results.collect import Config, Replica, by_config
from src.rundir import STAGED


def growing(replicas: Sequence[Replica]) -> list[Replica]:
    """Those whose lengths grow."""
    return [replica for replica in replicas if set(STAGED) <= set(replica.together.columns)]


def at_each_length(replicas: Sequence[Replica]) -> list[Replica]:
    """Each replica once for each length of its curriculum, as if that length had been the whole task.

    Lengths are those that some replica of its configuration was tested on, and the last one. What comes out can be
    pooled like any other replicas: one population gives a whole curve of success against length.

    Args:
        replicas: of :func:`growing`.
    """
    found = []
    for config, alike in by_config(replicas).items():
        values = dict(config)
        lengths = {int(values["task.length"])}
        for replica in alike:
            lengths.update(replica.history["length"].dropna().astype(int))
        for length in sorted(lengths):
            own = Config((values | {"task.length": length}).items())
            found += [replace(replica, config=own, outcome=_outcome(replica, length)) for replica in alike]
    return found


def _outcome(replica: Replica, length: int) -> dict[str, object]:
    """The row of a replica if this length had been the task's."""
    updates = passed_at(replica, length)
    return replica.outcome | {"length": length, "solved": updates is not None, "solved_at": updates}


def passed_at(replica: Replica, length: int) -> int | None:
    """Updates after which a replica had passed a length; None: it has not."""
    passed = replica.history.loc[replica.history["reached"] >= length, "step"]
    if len(passed):
        return int(passed.iloc[0])
    reached = replica.outcome["reached"]
    if pd.isna(reached) or reached < length:
        return None
    return int(replica.outcome["updates"])  # in the test at the end
