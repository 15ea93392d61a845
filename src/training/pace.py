"""How many updates are made in one call: so many that a signal need not wait for long."""

SECONDS = 0.2
"""That a call may take, about: a signal is heard when it ends."""


class Pace:
    """Knows how long updates have taken lately. Changes nothing but the speed."""

    def __init__(self) -> None:
        self.count = 1
        """Updates of the next call."""

    def note(self, updates: int, seconds: float) -> None:
        """Notes how long a call with so many updates has taken."""
        if updates:
            self.count = max(1, int(SECONDS * updates / max(seconds, 1e-9)))
