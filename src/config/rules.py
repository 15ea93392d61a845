"""Rules: what a key may hold, each with the words that say so."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tasks.draws import MAX_SEED

LARGEST = 3.4028234e38
"""The largest number of float32."""

LEAST = 1.1754944e-38
"""The least number above 0 of float32 that is not denormal."""


@dataclass(frozen=True)
class Rule:
    """What a key may hold.

    Args:
        words: completes "must be ...".
        holds: tells whether a value that is not null is right.
        optional: whether null is right too.
        whole: whether a number like 1e5, which is read as a fraction, stands for a whole one.
    """

    words: str
    holds: Callable[[Any], bool]
    optional: bool = False
    whole: bool = False

    def problem(self, key: str, value: Any) -> str | None:
        """One line that says what is wrong with the value, or None."""
        right = self.optional if value is None else self.holds(value)
        if right:
            return None
        alternative = ", or null" if self.optional else ""
        return f"{key}={value}: must be {self.words}{alternative}"


def is_int(value: Any) -> bool:
    """Whether this is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether this is a number that float32 can hold; true and false are none."""
    return (is_int(value) or isinstance(value, float)) and abs(value) <= LARGEST


def whole(low: int, optional: bool = False) -> Rule:
    """A whole number from ``low`` on, below 2**63."""
    return Rule(f"a whole number, {low} or more", lambda v: is_int(v) and low <= v <= MAX_SEED, optional, whole=True)


def above_zero(optional: bool = False) -> Rule:
    """A number above 0 that float32 can hold."""
    return Rule("a number above 0, of float32's range", lambda v: is_number(v) and v >= LEAST, optional)


def choice(*values: Any, optional: bool = False) -> Rule:
    """One of these values."""
    return Rule(" or ".join(map(str, values)), lambda v: not isinstance(v, bool) and v in values, optional)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value))


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(is_int(n) and n > 0 for n in value)


NUMBER_OR_NULL = Rule("a number", is_number, optional=True)
FROM_ZERO = Rule("a number, 0 or more", lambda v: is_number(v) and v >= 0)
FROM_ZERO_OR_NULL = Rule("a number, 0 or more", lambda v: is_number(v) and v >= 0, optional=True)
FRACTION = Rule("a number between 0 and 1, both excluded", lambda v: is_number(v) and 0 < v < 1)
BELOW_ONE = Rule("a number, 0 or more, below 1", lambda v: is_number(v) and 0 <= v < 1)
BELOW_ONE_OR_NULL = Rule("a number, 0 or more, below 1", lambda v: is_number(v) and 0 <= v < 1, optional=True)
SHARE = Rule("a number above 0, at most 1", lambda v: is_number(v) and 0 < v <= 1)
ABOVE_ONE = Rule("a number above 1", lambda v: is_number(v) and v > 1)
ABOVE_ONE_OR_NULL = Rule("a number above 1", lambda v: is_number(v) and v > 1, optional=True)
PAIR = Rule("two numbers in brackets", _is_pair)
COUNTS = Rule("whole numbers, 1 or more, in brackets", _are_counts)
FLAG = Rule("true or false", lambda v: isinstance(v, bool))
SEED = Rule("a whole number, 0 or more, below 2**63", lambda v: is_int(v) and 0 <= v <= MAX_SEED, whole=True)
NAME = Rule("a name", lambda v: isinstance(v, str))
PATIENTS = Rule("a whole number from 1 to 100000", lambda v: is_int(v) and 1 <= v <= 100_000, whole=True)
FILE = Rule("a file", lambda v: isinstance(v, str), optional=True)
DIRECTORY = Rule("a directory", lambda v: isinstance(v, str), optional=True)
ONE_DEVICE = Rule("1: a population is trained on one device", lambda v: is_int(v) and v == 1)
