"""What lies between input and readout: dense layers if there are any, recurrent layers, noise; and how they start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import hydra
import numpy as np
from omegaconf import OmegaConf

from src.cells import Cell
from tasks.draws import Stream, generator

KEYS = ("layers", "dense", "dense_size", "noise", "dropout", "learned")
"""Keys of a cell's file that belong to the network, whatever the cell."""

ALL, READOUT = "all", "readout"
"""What a network learns: every parameter, or W_out and b_out alone."""

READOUT_NAMES = ("W_out", "b_out")
"""Parameters of the readout."""


@dataclass(frozen=True)
class Architecture:
    """The layers of a network.

    Args:
        cell: of every recurrent layer.
        layers: recurrent layers, each fed by h of the one below.
        dense: tanh layers before them, without recurrence (M19: 2).
        dense_size: units of each; H if not given.
        noise: standard deviation of the Gaussian noise added to what goes from layer to layer in training (M19).
        learned: ``all``, or ``readout``: all parameters but W_out and b_out stay as they start (Jaeger, 2001).
        dropout: share of the units that each layer hands on as 0 in training, to the next one or to the readout; what
            goes from step to step is left as it is (Zaremba, Sutskever & Vinyals, 2014; O).
    """

    cell: Cell
    layers: int = 1
    dense: int = 0
    dense_size: int | None = None
    noise: float = 0.0
    dropout: float = 0.0
    learned: str = ALL

    def is_learned(self, name: str) -> bool:
        """Whether training changes the parameter of this name."""
        return self.learned == ALL or name in READOUT_NAMES

    @property
    def stacked(self) -> bool:
        """Whether there is more than one recurrent layer between input and readout."""
        return self.layers > 1 or self.dense > 0

    def select(self, rows: Sequence[int]) -> "Architecture":
        """The architecture of some of the replicas."""
        return replace(self, cell=self.cell.select(rows))

    def beside(self, replicas: int, other: "Architecture", others: int) -> "Architecture":
        """The architecture of so many replicas of this one, and so many of another that differs in its cells alone."""
        return replace(self, cell=self.cell.beside(replicas, other.cell, others))

    def start(self, inputs: int, outputs: int, seed: int) -> dict[str, np.ndarray]:
        """The parameters with which the replica of this seed starts, by name, in the order of registration.

        Dense layers start as torch.nn.Linear does.
        """
        draws = generator(seed, Stream.START, 0)
        found: dict[str, np.ndarray] = {}
        for layer in range(self.dense):
            size = self.dense_size or self.cell.hidden_size
            bound = inputs**-0.5
            found[dense_name("D", layer)] = draws.uniform(-bound, bound, (inputs, size)).astype(np.float32)
            found[dense_name("c", layer)] = draws.uniform(-bound, bound, size).astype(np.float32)
            inputs = size
        for layer in range(self.layers):
            parameters = self.cell.start(inputs, outputs, draws)._asdict()
            parameters |= self.cell.start_own(draws)
            for name, parameter in parameters.items():
                of_readout = name in READOUT_NAMES
                found[name if of_readout else layer_name(name, layer)] = parameter
            inputs = self.cell.hidden_size
        return found


def layer_name(name: str, layer: int) -> str:
    """Name of a parameter of a recurrent layer, counted from 0."""
    return name + layer_suffix(layer)


def layer_suffix(layer: int) -> str:
    """What the names of a recurrent layer's parameters end with."""
    return "" if layer == 0 else f"_{layer + 1}"


def dense_name(name: str, layer: int) -> str:
    """Name of a parameter of a dense layer, counted from 0: D of its matrix, c of its bias."""
    return f"{name}_{layer + 1}"


def build_architecture(config: Mapping[str, Any]) -> Architecture:
    """Builds the cell of a configuration and puts it into the layers that the same file asks for.

    Args:
        config: as in conf/cell/.

    Raises:
        hydra.errors.InstantiationException: a class that is not there, or keys that it does not take.
    """
    keys = OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else dict(config)
    assert isinstance(keys, dict)
    of_network = {str(key): keys.pop(key) for key in KEYS if key in keys}
    return Architecture(hydra.utils.instantiate(keys), **of_network)
