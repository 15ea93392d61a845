"""The rows of the living: what belongs to each replica that still learns, in stacked tensors, a row each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from src.network import Architecture, Network

Optimizer = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
"""Makes torch's optimizer of a list of parameters."""


@dataclass
class Rows:
    """Rows of some replicas, as a value.

    A replicas, P numbers in the parameters of one.
    """

    replicas: list[int]  # whose they are
    theta_AP: Tensor
    memory: dict[str, Tensor]  # of the optimizer, a row per replica each
    settings: dict[str, Tensor]  # of the method, A each
    architecture: Architecture  # with whatever the cell holds per replica

    def take(self, rows: Sequence[int]) -> "Rows":
        """A copy of some rows, in this order."""
        index = torch.tensor(list(rows), dtype=torch.long, device=self.theta_AP.device)
        return Rows(
            [self.replicas[row] for row in rows],
            self.theta_AP[index],
            {name: value[index] for name, value in self.memory.items()},
            {name: value[index] for name, value in self.settings.items()},
            self.architecture.select(list(rows)),
        )

    def put(self, other: "Rows") -> None:
        """Overwrites the parameters and the memory of the replicas that ``other`` holds; memory not known yet is 0 for
        the rest."""
        index = [self.replicas.index(replica) for replica in other.replicas]
        self.theta_AP[index] = other.theta_AP
        for name, value in other.memory.items():
            if name not in self.memory:
                self.memory[name] = value.new_zeros(len(self.replicas), *value.shape[1:])
            self.memory[name][index] = value


class Stack:
    """Rows bound to a network: its parameters and gradients are views of them, so that clipping, divergence, the step
    and leaving are single operations on rows.

    Args:
        network: of all replicas; its parameters are moved into the rows.
        settings: of the method, R each.
        optimizer: makes the optimizer of the rows.
    """

    def __init__(self, network: Network, settings: dict[str, Tensor], optimizer: Optimizer) -> None:
        self.network = network
        self.everyone = network.architecture
        parts = [p.detach().flatten(1) for p in network.parameters()]
        self.theta = nn.Parameter(torch.cat(parts, dim=1))
        self.replicas = list(range(len(self.theta)))
        self.settings = {name: value.to(self.theta.device) for name, value in settings.items()}
        self.optimizer = optimizer([self.theta])
        self.bind()

    @property
    def theta_AP(self) -> Tensor:
        """The parameters, one row per replica."""
        return self.theta.data

    @property
    def grad_AP(self) -> Tensor:
        """Their gradients."""
        assert self.theta.grad is not None
        return self.theta.grad

    @property
    def state(self) -> dict[str, Any]:
        """What the optimizer remembers."""
        return self.optimizer.state[self.theta]

    def rows(self) -> Rows:
        """All rows as they are, not copied."""
        return Rows(self.replicas, self.theta_AP, self._memory(), self.settings, self.network.architecture)

    def hold(self, rows: Rows) -> None:
        """Makes these rows the stacked state."""
        self.theta.grad = None  # a gradient of another shape would be refused
        self.theta.data = rows.theta_AP
        self.replicas = rows.replicas
        self.settings = rows.settings
        self.network.architecture = rows.architecture
        if rows.memory:
            self.state.update(rows.memory)
        self.bind()

    def bind(self) -> None:
        """Makes the network's parameters and gradients views of the rows."""
        self.theta.grad = torch.zeros_like(self.theta)
        views = self.split(self.theta_AP)
        gradients = self.split(self.grad_AP)
        for p, view, gradient in zip(self.network.parameters(), views, gradients, strict=True):
            p.data = view
            p.grad = gradient

    def split(self, rows_NP: Tensor) -> list[Tensor]:
        """Views of the columns of each parameter, in its shape."""
        return list(self.network.split(rows_NP).values())

    def counts(self) -> dict[str, Tensor]:
        """What the optimizer keeps as one number for all rows."""
        return {name: value for name, value in self.state.items() if torch.is_tensor(value) and value.ndim == 0}

    def _memory(self) -> dict[str, Tensor]:
        """What the optimizer keeps by row."""
        rows = self.theta.shape[:1]
        return {name: value for name, value in self.state.items() if torch.is_tensor(value) and value.shape[:1] == rows}
