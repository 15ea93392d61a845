"""What an implementation of the recurrence offers, and the values that go into it and come out of it.

Shapes: R replicas, T steps, B sequences, I inputs, H units, G = gates * H columns of W; step t of the text is index
t - 1 here.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor

from src.cells import Cell, State, Weights
from src.directions import Combination, Copies, Product, Tape
from src.recurrence.checks import refuse
from tasks.draws import Stream

Key = tuple[int, Stream, int, int]
"""Seed, stream, index and part of a draw."""


@dataclass
class Pass:
    """One pass of R networks through all steps: what is run, on what, with which weights, from which state.

    Args:
        inputs: symbols RTB, integers in [0, I) that stand for rows of W_in; real vectors RTBI; or, where the weights
            have no W_in, z_RTBG itself.
        state: before the first step, each part RBH; None: zeros.
        length_R: steps of each replica, integers in [0, T]; None: all T.
    """

    cell: Cell
    inputs: Tensor
    weights: Weights
    state: State | None = None
    length_R: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """R, T and B."""
        R, T, B = self.inputs.shape[:3]
        return R, T, B

    def begin(self) -> State:
        """The state before the first step."""
        if self.state is not None:
            return self.state
        R, _, B = self.shape
        return (self.weights.W.new_zeros(R, B, self.cell.hidden_size),) * self.cell.parts

    def check(self) -> None:
        """Refuses lengths that the inputs do not have.

        Raises:
            ValueError: a length outside [0, T].
        """
        if self.length_R is None:
            return
        T = self.inputs.shape[1]
        if self.length_R.device.type != "cpu":
            refuse((self.length_R < 0) | (self.length_R > T), ValueError(f"lengths are not all in [0, {T}]"))
            return
        lengths = self.length_R.tolist()
        if not all(0 <= length <= T for length in lengths):
            raise ValueError(f"lengths {lengths} are not all in [0, {T}]")


@dataclass
class Passes:
    """N passes that follow each other, on the same weights, each from a state of zeros.

    Args:
        inputs: as those of a pass, with N in front.
        length_NR: steps of each replica.
    """

    cell: Cell
    inputs: Tensor
    weights: Weights
    length_NR: Tensor

    @property
    def first(self) -> Pass:
        """The first of them."""
        return Pass(self.cell, self.inputs[0], self.weights, None, self.length_NR[0])

    def check(self) -> None:
        """Refuses lengths that the inputs do not have.

        Raises:
            ValueError: a length outside [0, T].
        """
        T = self.inputs.shape[2]
        wrong = (self.length_NR < 0) | (self.length_NR > T)
        refuse(wrong, ValueError(f"lengths are not all in [0, {T}]"))


@dataclass
class Target:
    """What an update learns: the right answers, and the loss that compares the readout with them.

    Args:
        values: classes, or numbers, of the last step, RB, or of every step, RTB; of N passes with N in front.
        loss: ``cross_entropy`` (of the softmax) or ``squared_error`` (of the one output); the mean over sequences and,
            with targets at every step, over each replica's steps.
    """

    values: Tensor
    loss: str


@dataclass
class Descent:
    """Where gradient descent takes place: all parameters of each network, and their gradients, as rows of P numbers.

    Args:
        theta_RP: the weights of a pass are views of it.
        grad_RP: their gradients likewise.
        rate_R: learning rates.
        most_R: the norm that a gradient has at most after clipping; infinity: no clipping.
        velocity_RP: v, contiguous; None: there is no momentum.
    """

    theta_RP: Tensor
    grad_RP: Tensor
    rate_R: Tensor
    most_R: Tensor
    velocity_RP: Tensor | None = None
    momentum: float = 0.0


@dataclass
class Descended:
    """What came of N updates.

    Args:
        made: how many are whole. Before the others stands one that is not as usual, see ``src.recurrence.descend``.
        norm_NR: of the gradients, before clipping.
    """

    made: int
    loss_NR: Tensor
    omega_NR: Tensor | None
    norm_NR: Tensor


@dataclass
class Gradients:
    """Of the loss by the weights (W's with the tape's terms), by the drive where that was the input, and by the state
    before the first step."""

    weights: Weights | None  # None where a tape wanted products instead
    z_RTBG: Tensor | None
    state: State


class Unavailable(Exception):
    """A backend that cannot be had here. The message says why, and what to install."""


class Run(Protocol):
    """One pass that has been made; after a replica's length its state stays as it is and h is 0."""

    h_RTBH: Tensor | None
    """h of every step, where that was wanted."""
    last: State
    """The state after each replica's last step."""

    def backward(self, dh_RTBH: Tensor | None, dlast: tuple[Tensor | None, ...], tape: Tape) -> Gradients:
        """Goes back through all steps, from dL/dh at every step (direct parts; None: 0) and dL/d(last state)."""


class LayerRun(Protocol):
    """One pass through a layer without recurrence."""

    y: Tensor | None
    """The output, RTBM. Whoever takes it sets this to None: an output kept here would be a cycle, freed late."""

    def backward(self, dy_RTBM: Tensor, y_RTBM: Tensor, wants_dx: bool) -> tuple[Tensor | None, Tensor, Tensor]:
        """dL/dx, if wanted, dL/dW and dL/db. Without tanh ``y`` may hold anything."""


class Backend(Protocol):
    """An implementation of everything that is done for R networks at once.

    ``reference.py`` is the specification. Another one may have its own way for whatever it knows, and leaves the rest
    to the reference: it inherits from it.
    """

    name: ClassVar[str]
    device: ClassVar[str | None]
    """The kind of device that it is chosen for by itself; None: any."""
    wants_torch_threads: ClassVar[bool]
    """Whether torch's own threads do its work; else they would wait busily on the cores that it wants."""

    def __init__(self, threads: int) -> None:
        """Prepares everything for so many threads of the CPU, which change nothing but the speed.

        Raises:
            Unavailable: it cannot be had here.
        """

    @classmethod
    def missing(cls) -> str | None:
        """Why it cannot be had here, in one line that says what to install; None: it can."""

    @classmethod
    def refuses(cls, cell: Cell) -> str | None:
        """Why it does not run this cell on its device, in one line; None: it does."""

    def runs(self, cell: Cell, like: Tensor) -> bool:
        """Whether it runs this cell on this tensor's device and in its precision."""

    def takes(self, *tensors: Tensor) -> bool:
        """Whether it works on these tensors' devices and in their precisions."""

    def forward(self, given: Pass, keep: bool, every_step: bool) -> Run:
        """Takes all steps of a cell that :meth:`runs` says yes to.

        Args:
            keep: what :meth:`Run.backward` needs.
            every_step: whether h of every step is wanted.
        """

    def learn(self, given: Pass, target: Target, gradients: Weights, tape: Tape) -> tuple[Tensor, State] | None:
        """Makes a whole update without its step, see src.recurrence.learn; None where that is not done in one call."""

    def records(self, cell: Cell, like: Tensor) -> bool:
        """Whether :meth:`learn` of this cell is a fixed sequence of launches, which a device can be told once."""

    def descend(
        self, passes: Passes, target: Target, gradients: Weights, tape: Tape, descent: Descent
    ) -> Descended | None:
        """Makes N updates with their steps, see src.recurrence.descend; None where that is not done in one call."""

    def norms(self, grad_RP: Tensor) -> Tensor:
        """The norm of each row."""

    def linear(self, x_RTBK: Tensor, W_RKM: Tensor, b_RM: Tensor, tanh: bool) -> LayerRun:
        """x W + b of every step, or its tanh."""

    def add_noise(self, x_RTBK: Tensor, keys: list[Key], std: float) -> Tensor:
        """x and normal noise, each replica's a function of its key."""

    def combine(
        self,
        combination: Combination,
        products: list[Product | Copies],
        gradients: dict[str, Tensor],
        length_R: Tensor,
        steps: int,
    ) -> None:
        """Overwrites gradients with what a direction makes of all products."""
