"""The gradient of the loss as it is, what every direction offers, and several regularisers at once."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from src.directions.tape import Combination, Term

Draws = Sequence[tuple[int, int]]
"""Each replica's seed and number of updates so far: what everything drawn in an update is a function of."""


class Direction:
    """How a gradient becomes an update. The base is the plain gradient: MSGD and, clipped, MSGD-C.

    A direction holds nothing of an update: it is asked anew in each.
    """

    settings: ClassVar[dict[str, float]] = {}
    """Keys of ``optimizer.*`` that it wants, one number per replica, and the value that null stands for."""
    held: ClassVar[tuple[str, ...]] = ()
    """Arguments of its own that ``settings`` hold for each replica, so that replicas may differ in them."""
    metrics: ClassVar[tuple[str, ...]] = ()
    """Names of its terms: each is a column of history.csv and a tag train/NAME."""

    def terms(self, settings: dict[str, Tensor]) -> dict[str, Term]:
        """Regularisers for the backward pass of one layer, by metric.

        Args:
            settings: those of ``settings``, float32, one number per replica.
        """
        return {}

    def combination(self, settings: dict[str, Tensor], draws: Draws) -> Combination | None:
        """What shall be made of all products of an update instead of gradients; None: gradients."""
        return None


class Together(Direction):
    """The gradient of the loss and the regularisers of several directions, each with its own weight.

    Raises:
        ValueError: two of them with a metric of one name, or one that is not made of terms.
    """

    def __init__(self, directions: Sequence[Direction]) -> None:
        names = [name for direction in directions for name in direction.metrics]
        if len(set(names)) < len(names):
            raise ValueError(f"directions: {', '.join(names)}: each metric must have a name of its own")
        for direction in directions:
            if type(direction).combination is not Direction.combination:
                raise ValueError(f"directions: {type(direction).__name__} is no regulariser, and stands alone")
        self.directions = list(directions)
        self.metrics = tuple(names)  # type: ignore[misc]
        self.settings = {}  # type: ignore[misc]
        for direction in directions:
            self.settings.update(direction.settings)

    def terms(self, settings: dict[str, Tensor]) -> dict[str, Term]:
        found: dict[str, Term] = {}
        for direction in self.directions:
            own = direction.terms(settings)
            if found.keys() & own.keys():
                raise ValueError(f"directions: two terms named {', '.join(found.keys() & own.keys())}")
            found.update(own)
        return found
