"""R networks side by side: dense layers if there are any, recurrent layers, readout."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from src.cells import Cell
from src.cells.cell import State
from src.directions import Direction
from src.linalg import matmul
from src.recurrence import Tape, Weights, learn, linear, recur
from tasks.datamodule import Batch
from tasks.draws import Stream, generator
from tasks.task import Task

CHUNK = 100
"""Steps taken at a time when no gradient is wanted: bounds the memory of tests on long sequences."""

Noise = Callable[[int, Tensor], Tensor]
"""What a layer hands on, with noise: of the layer's number, counted from 0 at the input, and its output RTBH."""


@dataclass
class Carry:
    """The state of every layer between two parts of a sequence, in which no gradient flows; None: zeros."""

    states: list[State] | None = None

    def select(self, rows: Sequence[int]) -> None:
        if self.states is not None:
            self.states = [tuple(part[list(rows)] for part in state) for state in self.states]


def _named(name: str, layer: int) -> str:
    return name if layer == 0 else f"{name}_{layer + 1}"


def start(cell: Cell, inputs: int, outputs: int, seed: int) -> dict[str, np.ndarray]:
    """The parameters with which the replica of this seed starts, by name. Dense layers start as torch.nn.Linear."""
    draws, stacks = generator(seed, Stream.START, 0), {}
    for layer in range(cell.dense):
        bound, shape = inputs**-0.5, (inputs, cell.dense_size)
        for name, of_shape in ((f"D_{layer + 1}", shape), (f"c_{layer + 1}", shape[1:])):
            stacks[name] = draws.uniform(-bound, bound, of_shape).astype(np.float32)
        inputs = cell.dense_size
    for layer in range(cell.layers):
        parameters = cell.start(inputs, outputs, draws)._asdict() | cell.start_own(draws)
        stacks |= {n if n in ("W_out", "b_out") else _named(n, layer): p for n, p in parameters.items()}
        inputs = cell.hidden_size
    return stacks


class Network(nn.Module):
    """z = x W_in + b;  h, state = recurrence;  output = h W_out + b_out. Every parameter has a leading dimension R.

    Args:
        cell: the recurrence, see src/cells, and how many layers of it there are.
        stacks: W_in RIG, W RHG, b RG, of further layers W_in_2, ..., and what only the cell knows; of dense layers
            D_1 RIH, c_1 RH, ...; W_out RHO, b_out RO.
    """

    W_in: nn.Parameter
    W: nn.Parameter
    b: nn.Parameter
    W_out: nn.Parameter
    b_out: nn.Parameter

    def __init__(self, cell: Cell, stacks: dict[str, Tensor]) -> None:
        super().__init__()
        self.cell = cell
        for name, stack in stacks.items():
            self.register_parameter(name, nn.Parameter(stack))

    @classmethod
    def start(cls, cell: Cell, task: Task, seeds: Sequence[int]) -> "Network":
        """Initial networks, one a seed."""
        starts = [start(cell, task.inputs, task.outputs, seed) for seed in seeds]
        return cls(cell, {name: torch.from_numpy(np.stack([own[name] for own in starts])) for name in starts[0]})

    def select(self, rows: Sequence[int]) -> "Network":
        """A copy of some replicas, without gradients."""
        return Network(self.cell.select(rows), {name: p.detach()[list(rows)] for name, p in self.named_parameters()})

    def forward(
        self,
        inputs: Tensor,
        length_R: Tensor,
        tapes: Sequence[Tape] = (),
        every_step: bool = False,
        carry: Carry | None = None,
        noise: Noise | None = None,
    ) -> Tensor:
        """Output at each replica's last step, or at every step.

        Args:
            inputs: symbols RTB, integers in [0, I), or vectors RTBI; padding may hold any of these.
            length_R: steps of each replica.
            tapes: of each recurrent layer: what the backward pass shall make besides the plain gradient.
            carry: the states to begin with, replaced by those at the end.
            noise: between layers.

        Returns:
            output_RBO or output_RTBO, before softmax.
        """
        cell, x, states = self.cell, inputs, []
        tape = tapes[0] if tapes else None
        for layer in range(cell.dense):
            D, c = self._of("D", layer), self._of("c", layer)
            names = (f"D_{layer + 1}", f"c_{layer + 1}")
            x = linear(_numbers(x, D), D, c, tanh=True, names=names, tape=tape)
            x = x if noise is None else noise(layer, x)
        for layer in range(cell.layers):
            top, weights = layer == cell.layers - 1, self.weights(layer)
            tape = tapes[layer] if tapes else None
            if tape is not None:
                tape.suffix = _named("", layer)
            if layer or cell.dense:
                names = (_named("W_in", layer), _named("b", layer))
                x = linear(x, self._of("W_in", layer), self._of("b", layer), names=names, tape=tape)
                weights = Weights(weights.W, own=weights.own)
            state = None if carry is None or carry.states is None else carry.states[layer]
            h_RTBH, last = recur(cell, x, weights, state, length_R, tape, every_step or not top)
            states.append(tuple(part.detach() for part in last))
            if not top:
                assert h_RTBH is not None
                x = h_RTBH if noise is None else noise(cell.dense + layer, h_RTBH)
        if carry is not None:
            carry.states = states
        h = last[0] if h_RTBH is None else h_RTBH
        return self.readout(h) if tape is None or tape.rows is None else self._recorded_readout(h, tape)

    @torch.no_grad()
    def wrong(self, batch: Batch, task: Task) -> Tensor:
        """Which sequences are answered wrongly, bool wrong_RB, in memory that does not grow with the length."""
        wrong_RB = torch.zeros(batch.inputs.shape[0], batch.inputs.shape[2], dtype=torch.bool)
        at_every = task.every_step and task.judged == "every"
        for part, output in self._in_chunks(batch, at_every):
            if at_every:
                inside = torch.arange(part.inputs.shape[1], device=part.length.device) < part.length[:, None]
                wrong = task.wrong(output, part.target) & inside[..., None]
                wrong_RB = wrong_RB.to(wrong.device) | wrong.any(1)
        if at_every:
            return wrong_RB
        target = batch.target
        if task.every_step:
            target = target[torch.arange(len(target), device=target.device), batch.length - 1]
        return task.wrong(output, target)

    @torch.no_grad()
    def loss(self, batch: Batch, task: Task) -> Tensor:
        """The task's loss at every step, loss_R, for replicas of one length, in memory that does not grow with it."""
        parts = [task.loss(output, p.target, p.length) * p.length for p, output in self._in_chunks(batch, True)]
        return torch.stack(parts).sum(0) / batch.length

    def _in_chunks(self, batch: Batch, every_step: bool) -> Iterator[tuple[Batch, Tensor]]:
        """Chunks of steps and their outputs: at every step, or after the replica's last one so far."""
        carry = Carry()
        for part in batch.cut(range(0, batch.inputs.shape[1] + CHUNK, CHUNK)):
            yield part, self(part.inputs, part.length, every_step=every_step, carry=carry)

    def learn(
        self, batch: Batch, task: Task, direction: Direction, carry: Carry | None = None, noise: Noise | None = None
    ) -> Tensor:
        """Overwrites ``grad`` of every parameter with the direction's gradient; returns loss_R.

        Args:
            carry, noise: as for :meth:`forward`.

        Raises:
            ValueError: a parameter without ``grad``.
        """
        tapes, loss_R = [direction.tape() for _ in range(self.cell.layers)], None
        if task.loss_form is not None and type(self) is Network and not self.cell.stacked:
            weights, gradients = self._bound()
            state = None if carry is None or carry.states is None else carry.states[0]
            answer = learn(
                self.cell, batch.inputs, batch.target, weights, gradients, task.loss_form, batch.length, tapes[0], state
            )
            if answer is not None:
                loss_R, last = answer
                if carry is not None:
                    carry.states = [last]
        if loss_R is None:
            self.zero_grad(set_to_none=False)
            output = self(batch.inputs, batch.length, tapes, task.every_step, carry, noise)
            loss_R = task.loss(output, batch.target, batch.length)
            loss_R.sum().backward()
        if tapes[0].rows:
            by_name = {name: p.grad for name, p in self.named_parameters() if p.grad is not None}
            direction.finish(by_name, batch.length, batch.inputs.shape[1])
        return loss_R.detach()

    def _bound(self) -> tuple[Weights, Weights]:
        """Parameters and gradients as they lie now."""
        own = [self._parameters[name] for name in ("W", "W_in", "b", "W_out", "b_out")]  # quicker than attributes
        gradients = [p.grad for p in own if p is not None]
        if any(grad is None for grad in gradients):
            raise ValueError("every parameter needs a grad, which learn() overwrites")
        return Weights(*own), Weights(*gradients)  # type: ignore[arg-type]

    def weights(self, layer: int = 0) -> Weights:
        """Of one recurrent layer, counted from 0."""
        W, W_in, b = (self._of(name, layer) for name in ("W", "W_in", "b"))
        return Weights(W, W_in, b, own={name: self._of(name, layer) for name in self.cell.own})

    def recurrent(self) -> list[nn.Parameter]:
        """W of every layer."""
        return [self._of("W", layer) for layer in range(self.cell.layers)]

    def _of(self, name: str, layer: int) -> nn.Parameter:
        name = f"{name}_{layer + 1}" if name in ("D", "c") else _named(name, layer)
        return self.get_parameter(name)

    def readout(self, h: Tensor) -> Tensor:
        """h W_out + b_out, for h of one step, RBH, or of all, RTBH."""
        if h.ndim == 3:
            return matmul(h, self.W_out) + self.b_out[:, None]
        return linear(h, self.W_out, self.b_out)

    def _recorded_readout(self, h: Tensor, tape: Tape) -> Tensor:
        """The same, for a tape that wants rows."""
        if type(self).readout is not Network.readout:
            raise ValueError(
                f"{type(self).__name__} has a readout of its own, of which no temporal gradients are known"
            )
        at_end, names = h.ndim == 3, ("W_out", "b_out")
        output = linear(h[:, None] if at_end else h, self.W_out, self.b_out, names=names, tape=tape, at_end=at_end)
        return output[:, 0] if at_end else output


def _numbers(x: Tensor, D: Tensor) -> Tensor:
    """Symbols one-hot: dense layers multiply."""
    return x if x.is_floating_point() else nn.functional.one_hot(x.long(), D.shape[1]).to(D.dtype)
