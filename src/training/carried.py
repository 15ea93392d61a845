"""The states of a population between two epochs, where a text goes on from one to the next."""

from collections.abc import Sequence
from typing import Any

import torch

from src.cells import State
from src.network import Carry


class Carried:
    """The state of every layer of each replica, as it was when the last epoch ended."""

    def __init__(self) -> None:
        self.states: dict[int, list[State]] = {}

    def take(self, replicas: Sequence[int], device: torch.device) -> Carry:
        """The states of these replicas side by side; zeros where nothing was put."""
        if not self.states:
            return Carry()
        layers = zip(*(self.states[replica] for replica in replicas), strict=True)
        return Carry([_stacked(layer, device) for layer in layers])

    def put(self, replicas: Sequence[int], carry: Carry) -> None:
        """Keeps the states of these replicas."""
        states = carry.states or []
        for row, replica in enumerate(replicas):
            self.states[replica] = [tuple(part[row].clone() for part in state) for state in states]

    def state_dict(self) -> dict[int, Any]:
        """What a checkpoint keeps."""
        return {
            replica: [[part.cpu() for part in state] for state in states] for replica, states in self.states.items()
        }

    def load_state_dict(self, kept: dict[int, Any]) -> None:
        """Takes the states of a checkpoint."""
        self.states = {replica: [tuple(state) for state in states] for replica, states in kept.items()}


def _stacked(states: Sequence[State], device: torch.device) -> State:
    """The states of one layer, a row for each replica."""
    return tuple(torch.stack(parts).to(device) for parts in zip(*states, strict=True))
