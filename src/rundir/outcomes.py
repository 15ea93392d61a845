"""What becomes of a replica."""

RUNNING = "running"
"""It still learns; no table holds this."""

SOLVED = "solved"
"""It passed the success test."""

BUDGET = "budget"
"""Its updates or epochs are used up."""

DIVERGED = "diverged"
"""Its parameters or its gradient are no longer finite."""

PLATEAU = "plateau"
"""Its schedule came to an end."""

INTERRUPTED = "interrupted"
"""It was stopped from outside; it says nothing about the method."""

ENDED = (SOLVED, DIVERGED, PLATEAU)
"""Outcomes that a larger budget would not change."""
