"""How a configuration that cannot run is refused: one clear line per problem."""

import sys
from collections.abc import Iterable
from difflib import get_close_matches
from typing import NoReturn


class ConfigurationError(Exception):
    """A configuration that cannot run.

    Args:
        problems: one clear line each.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def refuse(problems: Iterable[str]) -> NoReturn:
    """Prints the problems on standard error, one line each, and ends the program with status 2."""
    for problem in dict.fromkeys(problems):
        print(f"error: {problem}", file=sys.stderr)
    raise SystemExit(2)


def near(word: str, known: Iterable[str]) -> str:
    """A hint at the known word that is most like this one; an empty string if none is."""
    matches = get_close_matches(word, list(known), n=1)
    return f"; did you mean {matches[0]}?" if matches else ""


def of_disk(error: OSError) -> str:
    """What the disk refused, in words: the file, and why."""
    if error.filename is None or error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}"


def first_line(error: BaseException) -> str:
    """The first line that an exception says, or its type if it says nothing."""
    for line in str(error).splitlines():
        if line.strip():
            return line.strip()
    return type(error).__name__
