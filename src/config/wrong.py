"""Keys that are wrong by themselves: they are not compared with others."""

from src.config.keys import belongs


class Wrong:
    """Wrong keys, each with the problem that it has."""

    def __init__(self) -> None:
        self._problem: dict[str, str] = {}

    @property
    def problems(self) -> list[str]:
        """One line per wrong key, in the order in which they were found."""
        return list(self._problem.values())

    def note(self, key: str, problem: str) -> None:
        """Adds a wrong key."""
        self._problem[key] = problem

    def among(self, *keys: str) -> bool:
        """Whether one of these keys is wrong."""
        return any(key in self._problem for key in keys)

    def below(self, *parts: str) -> bool:
        """Whether one of these parts of the configuration is wrong, or a key below it."""
        return any(belongs(key, part) for key in self._problem for part in parts)
