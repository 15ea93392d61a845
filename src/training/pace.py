"""How many updates are made in one call: so many that a signal need not wait for long."""

SECONDS = 0.2
"""That a call may take, about: a signal is heard when it ends."""


class Pace:
    """Knows how long updates have taken lately. Changes nothing but the speed."""

    def __init__(self) -> None:
        self.count = 1
        """Updates of the next call."""

    def note(self, updates: int, seconds: float) -> None:
        """Notes how long a call has taken that made so many updates. After one that made none the next tries one."""
        self.count = max(1, int(SECONDS * updates / max(seconds, 1e-9)))
