"""Starts: how the initial parameters of one replica are drawn. Biases are 0 unless said otherwise.

A start is called with the sizes of a layer and a generator. One of your own is any callable of that form, named as
``start`` in a cell's file.
"""

from typing import Protocol

import numpy as np
import torch

from src.cells.cell import Parameters
from src.linalg import orthogonal, spectral_radius


class Start(Protocol):
    """Draws one replica's parameters, float32."""

    def __call__(self, inputs: int, hidden: int, outputs: int, draws: np.random.Generator) -> Parameters:
        """Parameters of a layer with I inputs, H units and O outputs of its readout."""


class Gaussian:
    """W_in, W_out ~ N(0, std); W ~ N(0, std), made sparse and scaled if asked to (P13, G16).

    Args:
        std: standard deviation of the normal draws (P13: .01 or .1; G16: .1).
        connections: if given, non-zero entries of W per unit (P13: 15); all of them in a smaller network.
        side: whose connections these are: ``outgoing``, a row of W (Pcode), or ``incoming``, a column (P13's text).
        spectral_radius: if given, W is scaled to it (P13: .95; G16, algorithm 2: ρ).
    """

    def __init__(
        self,
        std: float = 0.1,
        connections: int | None = None,
        side: str = "outgoing",
        spectral_radius: float | None = None,
    ) -> None:
        self.std = std
        self.connections = connections
        self.side = side
        self.spectral_radius = spectral_radius

    def __call__(self, inputs: int, hidden: int, outputs: int, draws: np.random.Generator) -> Parameters:
        W_in = draws.normal(0, self.std, (inputs, hidden))
        W = draws.normal(0, self.std, (hidden, hidden))
        W_out = draws.normal(0, self.std, (hidden, outputs))
        if self.connections is not None:
            keep = draws.permuted(np.tile(np.arange(hidden), (hidden, 1)), axis=1) < self.connections
            W *= keep if self.side == "outgoing" else keep.T
        if self.spectral_radius is not None:
            W *= self.spectral_radius / spectral_radius(torch.from_numpy(W))
        return single_precision(W_in, W, np.zeros(hidden), W_out, np.zeros(outputs))


class Identity:
    """W = the identity, W_in, W_out ~ N(0, std): with ReLU units, IRNN (Le, Jaitly & Hinton, 2015).

    Without inputs such a network keeps its state for ever, and the gradient its norm.

    Args:
        std: standard deviation of the normal draws (Le, Jaitly & Hinton: .001).
        scale: W is this times the identity; below 1 it forgets (Le, Jaitly & Hinton: .01 for speech).
    """

    def __init__(self, std: float = 0.001, scale: float = 1.0) -> None:
        self.std = std
        self.scale = scale

    def __call__(self, inputs: int, hidden: int, outputs: int, draws: np.random.Generator) -> Parameters:
        W_in = draws.normal(0, self.std, (inputs, hidden))
        W = self.scale * np.eye(hidden)
        W_out = draws.normal(0, self.std, (hidden, outputs))
        return single_precision(W_in, W, np.zeros(hidden), W_out, np.zeros(outputs))


class Orthogonal:
    """W = a random orthogonal matrix times a gain, W_in, W_out ~ N(0, std) (Saxe, McClelland & Ganguli, 2014).

    All singular values of W are the gain, so that in the linear case no direction vanishes or explodes for gain 1.

    Args:
        std: standard deviation of the normal draws.
        gain: all singular values of W.
    """

    def __init__(self, std: float = 0.1, gain: float = 1.0) -> None:
        self.std = std
        self.gain = gain

    def __call__(self, inputs: int, hidden: int, outputs: int, draws: np.random.Generator) -> Parameters:
        W_in = draws.normal(0, self.std, (inputs, hidden))
        W = self.gain * orthogonal(torch.from_numpy(draws.normal(size=(hidden, hidden)))).numpy()
        W_out = draws.normal(0, self.std, (hidden, outputs))
        return single_precision(W_in, W, np.zeros(hidden), W_out, np.zeros(outputs))


class Uniform:
    """All parameters ~ U(-1/√H, 1/√H), as torch's recurrent modules and the readout's torch.nn.Linear start.

    torch has two biases; here they are summed into one.

    Args:
        gates: columns of W, in units of H.
        summed: gates, from the first, whose bias is the sum of two draws.
    """

    def __init__(self, gates: int, summed: int) -> None:
        self.gates = gates
        self.summed = summed

    def __call__(self, inputs: int, hidden: int, outputs: int, draws: np.random.Generator) -> Parameters:
        bound = hidden**-0.5
        columns = self.gates * hidden
        W_in = draws.uniform(-bound, bound, (inputs, columns))
        W = draws.uniform(-bound, bound, (hidden, columns))
        b = draws.uniform(-bound, bound, columns)
        b[: self.summed * hidden] += draws.uniform(-bound, bound, self.summed * hidden)
        W_out = draws.uniform(-bound, bound, (hidden, outputs))
        b_out = draws.uniform(-bound, bound, outputs)
        return single_precision(W_in, W, b, W_out, b_out)


def single_precision(*arrays: np.ndarray) -> Parameters:
    """The five arrays of :class:`Parameters`, in their order, as float32."""
    return Parameters(*(array.astype(np.float32) for array in arrays))
