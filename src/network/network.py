"""R networks side by side: dense layers if there are any, recurrent layers, readout."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from src.cells import State, Weights
from src.directions import Combination, Copies, Direction, Draws, Product, Tape
from src.linalg import matmul
from src.network.architecture import ALL, Architecture, dense_name, layer_name, layer_suffix
from src.network.disturbance import CALM, Disturbance, dropout, noise
from src.recurrence import Descent, Pass, Passes, Target, combine, descend, learn, linear, recur
from tasks.batch import Batch
from tasks.block import Block
from tasks.task import Task

CHUNK = 100
"""Steps taken at a time when no gradient is wanted: bounds the memory of tests on long sequences."""


@dataclass
class Carry:
    """The state of every layer between two parts of a sequence, in which no gradient flows; None: zeros."""

    states: list[State] | None = None

    def of(self, layer: int) -> State | None:
        """The state of one layer."""
        return None if self.states is None else self.states[layer]

    def select(self, rows: Sequence[int]) -> None:
        """Keeps the states of some replicas."""
        if self.states is not None:
            chosen = list(rows)
            self.states = [tuple(part[chosen] for part in state) for state in self.states]


class Network(nn.Module):
    """z = x W_in + b;  h, state = recurrence;  output = h W_out + b_out. Every parameter has a leading dimension R.

    Args:
        architecture: the cell, see src/cells, and the layers.
        stacks: W_in RIG, W RHG, b RG, of further layers W_in_2, ..., and what only the cell knows; of dense layers
            D_1 RIH, c_1 RH, ...; W_out RHO, b_out RO.
    """

    W_in: nn.Parameter
    W: nn.Parameter
    b: nn.Parameter
    W_out: nn.Parameter
    b_out: nn.Parameter

    def __init__(self, architecture: Architecture, stacks: dict[str, Tensor]) -> None:
        super().__init__()
        self.architecture = architecture
        for name, stack in stacks.items():
            self.register_parameter(name, nn.Parameter(stack))

    @classmethod
    def start(cls, architecture: Architecture, task: Task, seeds: Sequence[int]) -> "Network":
        """Initial networks, one per seed."""
        starts = [architecture.start(task.inputs, task.outputs, seed) for seed in seeds]
        stacks = {name: np.stack([own[name] for own in starts]) for name in starts[0]}
        return cls(architecture, {name: torch.from_numpy(stack) for name, stack in stacks.items()})

    def select(self, rows: Sequence[int]) -> "Network":
        """A copy of some replicas, without gradients."""
        chosen = list(rows)
        stacks = {name: p.detach()[chosen] for name, p in self.named_parameters()}
        return Network(self.architecture.select(rows), stacks)

    # -- forward ---------------------------------------------------------------------------------------------------

    def forward(
        self,
        inputs: Tensor,
        length_R: Tensor,
        tapes: Sequence[Tape] = (),
        every_step: bool = False,
        carry: Carry | None = None,
        disturbance: Disturbance = CALM,
    ) -> Tensor:
        """Output at each replica's last step, or at every step.

        Args:
            inputs: symbols RTB, integers in [0, I), or vectors RTBI; padding may hold any of these.
            length_R: steps of each replica.
            tapes: of each recurrent layer: what the backward pass shall make besides the plain gradient.
            carry: the states to begin with, replaced by those at the end.
            disturbance: of what layers hand on.

        Returns:
            output_RBO or output_RTBO, before softmax.
        """
        carry = Carry() if carry is None else carry
        x = self._dense(inputs, tapes[0] if tapes else None, disturbance)
        states = []
        for layer in range(self.architecture.layers):
            top = layer == self.architecture.layers - 1
            tape = tapes[layer] if tapes else None
            given = self._layer(layer, x, tape, carry.of(layer), length_R)
            h_RTBH, last = recur(given, tape, every_step or not top)
            states.append(tuple(part.detach() for part in last))
            if not top:
                assert h_RTBH is not None
                x = disturbance.between(self.architecture.dense + layer, h_RTBH)
        carry.states = states
        h = last[0] if h_RTBH is None else h_RTBH
        return self._read_out(disturbance.before_readout(self.architecture.dense + layer, h), tape)

    def _dense(self, x: Tensor, tape: Tape | None, disturbance: Disturbance) -> Tensor:
        """The output of the dense layers, or the inputs where there are none."""
        for layer in range(self.architecture.dense):
            names = (dense_name("D", layer), dense_name("c", layer))
            D, c = (self.get_parameter(name) for name in names)
            x = linear(_numbers(x, D), D, c, tanh=True, names=names, tape=tape)
            x = disturbance.between(layer, x)
        return x

    def _layer(self, layer: int, x: Tensor, tape: Tape | None, state: State | None, length_R: Tensor) -> Pass:
        """One recurrent layer's pass; inputs that want a gradient of their own are projected first."""
        weights = self.weights(layer)
        if layer or self.architecture.dense:
            assert weights.W_in is not None and weights.b is not None
            names = (layer_name("W_in", layer), layer_name("b", layer))
            x = linear(x, weights.W_in, weights.b, names=names, tape=tape)
            weights = Weights(weights.W, own=weights.own)
        return Pass(self.architecture.cell, x, weights, state, length_R)

    def readout(self, h: Tensor) -> Tensor:
        """h W_out + b_out, for h of one step, RBH, or of all, RTBH."""
        if h.ndim == 3:
            return matmul(h, self.W_out) + self.b_out[:, None]
        return linear(h, self.W_out, self.b_out)

    def _read_out(self, h: Tensor, tape: Tape | None) -> Tensor:
        """The readout, recorded for a tape that wants products."""
        if tape is None or tape.products is None:
            return self.readout(h)
        if type(self).readout is not Network.readout:
            raise ValueError(
                f"{type(self).__name__} has a readout of its own, of which no temporal gradients are known"
            )
        at_end = h.ndim == 3
        names = ("W_out", "b_out")
        output = linear(h[:, None] if at_end else h, self.W_out, self.b_out, names=names, tape=tape, at_end=at_end)
        return output[:, 0] if at_end else output

    # -- tests and losses --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def wrong(self, batch: Batch, task: Task) -> Tensor:
        """Which sequences are answered wrongly, bool wrong_RB, in memory that does not grow with the length."""
        at_every = task.every_step and task.judged == "every"
        wrong_RB = torch.zeros(batch.inputs.shape[0], batch.inputs.shape[2], dtype=torch.bool)
        for part, output in self._in_chunks(batch, task, at_every):
            if at_every:
                inside_RT = torch.arange(part.inputs.shape[1], device=part.length.device) < part.length[:, None]
                wrong_RTB = task.wrong(output, part.target) & inside_RT[..., None]
                wrong_RB = wrong_RB.to(wrong_RTB.device) | wrong_RTB.any(1)
        if at_every:
            return wrong_RB
        target = batch.target
        if task.every_step:
            target = target[torch.arange(len(target), device=target.device), batch.length - 1]
        return task.wrong(output, target)

    @torch.no_grad()
    def loss(self, batch: Batch, task: Task) -> Tensor:
        """The task's loss at every step, loss_R, for replicas of one length, in memory that does not grow with it."""
        parts = []
        for part, output in self._in_chunks(batch, task, True):
            parts.append(task.loss(output, part.target, part.length) * part.length)
        return torch.stack(parts).sum(0) / batch.length

    def _in_chunks(self, batch: Batch, task: Task, every_step: bool) -> Iterator[tuple[Batch, Tensor]]:
        """Chunks of steps and their outputs: at every step, or after the replica's last one so far."""
        carry = Carry()
        for part in batch.cut(range(0, batch.inputs.shape[1] + CHUNK, CHUNK), task.every_step):
            yield part, self(part.inputs, part.length, every_step=every_step, carry=carry)

    # -- backward ----------------------------------------------------------------------------------------------------

    def learn(
        self,
        batch: Batch,
        task: Task,
        direction: Direction,
        settings: dict[str, Tensor],
        draws: Draws = (),
        carry: Carry | None = None,
    ) -> dict[str, Tensor]:
        """Overwrites ``grad`` of every parameter with what a direction makes of the loss.

        Args:
            settings: of the method, one number per replica.
            draws: each replica's seed and updates so far, for whatever is drawn.
            carry: as for :meth:`forward`.

        Returns:
            ``loss`` and the metrics of the direction, summed over layers, one number per replica.

        Raises:
            ValueError: a parameter without ``grad``; a direction with terms and a combination.
        """
        combination = direction.combination(settings, draws)
        products: list[Product | Copies] | None = None if combination is None else []
        tapes = self.tapes(products=products, combination=combination)
        for tape in tapes:
            tape.terms.update(direction.terms(settings))
        if combination is not None and tapes[0].terms:
            raise ValueError(f"{type(direction).__name__} has terms and a combination; a combination stands alone")
        metrics = {"loss": self.backward(batch, task, tapes, carry, self.disturbance(draws))}
        if combination is not None and products:
            gradients = {name: p.grad for name, p in self.named_parameters() if p.grad is not None}
            with torch.no_grad():
                combine(combination, products, gradients, batch.length, batch.inputs.shape[1])
        for tape in tapes:
            for name, value_R in tape.values.items():
                metrics[name] = metrics[name] + value_R if name in metrics else value_R
        return metrics

    def tapes(
        self,
        keep: bool = False,
        products: list[Product | Copies] | None = None,
        combination: Combination | None = None,
    ) -> list[Tape]:
        """A tape for each recurrent layer; see :class:`~src.directions.Tape` for the arguments."""
        layers = range(self.architecture.layers)
        return [Tape({}, keep, products, combination, suffix=layer_suffix(layer)) for layer in layers]

    def backward(
        self,
        batch: Batch,
        task: Task,
        tapes: Sequence[Tape],
        carry: Carry | None = None,
        disturbance: Disturbance = CALM,
    ) -> Tensor:
        """Overwrites ``grad`` of every parameter with the loss's gradient, as the tapes ask for it; returns loss_R."""
        loss_R = self._in_one_call(batch, task, tapes[0], carry)
        if loss_R is None:
            self.zero_grad(set_to_none=False)
            output = self(batch.inputs, batch.length, tapes, task.every_step, carry, disturbance)
            loss_R = task.loss(output, batch.target, batch.length)
            loss_R.sum().backward()
        return loss_R.detach()

    def _in_one_call(self, batch: Batch, task: Task, tape: Tape, carry: Carry | None) -> Tensor | None:
        """The same by a backend that makes a whole update at once; None where there is none."""
        if task.loss_form is None or not self.is_plain:
            return None
        weights, gradients = self._bound()
        state = None if carry is None else carry.of(0)
        given = Pass(self.architecture.cell, batch.inputs, weights, state, batch.length)
        answer = learn(given, Target(batch.target, task.loss_form), gradients, tape)
        if answer is None:
            return None
        loss_R, last = answer
        if carry is not None:
            carry.states = [last]
        return loss_R

    def descend(
        self,
        block: Block,
        task: Task,
        direction: Direction,
        settings: dict[str, Tensor],
        descent: Descent,
    ) -> tuple[int, dict[str, Tensor]] | None:
        """Makes several updates with their steps in one call.

        Args:
            block: of the updates.
            direction: made of terms; it is asked once for all updates.
            settings: of the method, one number per replica.
            descent: rows of which the parameters and their gradients are views.

        Returns:
            how many updates were made before the first that is not as usual, see :func:`src.recurrence.descend`; and
            what was found in them, NR each. None where no backend does this in one call.
        """
        if task.loss_form is None or not self.is_plain:
            return None
        weights, gradients = self._bound()
        passes = Passes(self.architecture.cell, block.inputs, weights, block.length)
        target = Target(block.target, task.loss_form)
        (tape,) = self.tapes()
        tape.terms.update(direction.terms(settings))
        found = descend(passes, target, gradients, descent, tape)
        if found is None:
            return None
        metrics = {"loss": found.loss_NR, "grad_norm": found.norm_NR}
        if found.omega_NR is not None:
            (name,) = tape.terms
            metrics[name] = found.omega_NR
        return found.made, metrics

    @property
    def is_plain(self) -> bool:
        """Whether it is one recurrent layer and a readout, as they stand in this file."""
        return type(self) is Network and not self.architecture.stacked and not self.architecture.dropout

    def disturbance(self, draws: Draws) -> Disturbance:
        """Noise and dropout of one update."""
        return Disturbance(noise(self.architecture.noise, draws), dropout(self.architecture.dropout, draws))

    # -- parameters --------------------------------------------------------------------------------------------------

    def _bound(self) -> tuple[Weights, Weights]:
        """Parameters and gradients as they lie now."""
        own = [self._parameters[name] for name in ("W", "W_in", "b", "W_out", "b_out")]  # quicker than attributes
        gradients = [p.grad for p in own if p is not None]
        if any(grad is None for grad in gradients):
            raise ValueError("every parameter needs a grad, which learn() overwrites")
        return Weights(*own), Weights(*gradients)  # type: ignore[arg-type]

    def weights(self, layer: int = 0) -> Weights:
        """Weights of one recurrent layer, counted from 0."""
        W, W_in, b = (self.get_parameter(layer_name(name, layer)) for name in ("W", "W_in", "b"))
        own = {name: self.get_parameter(layer_name(name, layer)) for name in self.architecture.cell.own}
        return Weights(W, W_in, b, own=own)  # type: ignore[arg-type]

    def split(self, rows_NP: Tensor) -> dict[str, Tensor]:
        """Views of the columns of each parameter, in its shape, by name."""
        shapes = {name: p.shape[1:] for name, p in self.named_parameters()}
        parts = rows_NP.split([shape.numel() for shape in shapes.values()], dim=1)
        named = zip(shapes.items(), parts, strict=True)
        return {name: part.view(-1, *shape) for (name, shape), part in named}

    def recurrent(self) -> list[nn.Parameter]:
        """W of every layer."""
        return [self.get_parameter(layer_name("W", layer)) for layer in range(self.architecture.layers)]

    def matrices(self) -> list[nn.Parameter]:
        """Every weight that is no bias."""
        return [p for p in self.parameters() if p.ndim > 2]

    def frozen(self) -> list[nn.Parameter]:
        """The parameters that training does not change."""
        if self.architecture.learned == ALL:
            return []
        return [p for name, p in self.named_parameters() if not self.architecture.is_learned(name)]


def _numbers(x: Tensor, D: Tensor) -> Tensor:
    """Symbols one-hot: dense layers multiply."""
    return x if x.is_floating_point() else nn.functional.one_hot(x.long(), D.shape[1]).to(D.dtype)
