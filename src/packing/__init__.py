"""Jobs of a sweep that train as one population, each in its own directory, as if it had run alone.

Each job is a run like any other, with a Lightning Trainer and callbacks of its own. It lives in a thread, and only one
thread is at work at a time (:mod:`~src.packing.turns`). When a job has drawn the sequences of its next block it waits;
when all have, their updates are made together (:mod:`~src.packing.together`), in one call for the rows of all.
"""

from src.packing.turns import say, seat

__all__ = ["say", "seat"]
