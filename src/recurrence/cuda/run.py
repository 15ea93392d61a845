"""One pass through all steps, and back."""

from typing import Any

import torch
from torch import Tensor

from src.cells import LSTM, State, Vanilla, Weights
from src.directions import Factors, Tape
from src.linalg import sent
from src.recurrence.backend import Gradients, Pass
from src.recurrence.checks import refuse
from src.recurrence.cuda import products
from src.recurrence.cuda.launch import Tiles, launch, tiles
from src.recurrence.cuda.support import ACTIVATIONS, MIXED, processors, room
from src.recurrence.inputs import inside, project
from src.recurrence.known import omega_of, only_omega


class Run:
    """Runs all steps, and back.

    ``h`` (and c) of T + 1 steps begin with the state before the first. Without ``keep`` and ``every_step`` they are of
    one step, if the state need not go through memory, and memory does not grow with T.

    Args:
        keep: what :meth:`backward` needs.
        every_step: whether h of every step is handed out.
        precision: see src.recurrence.cuda.launch.
    """

    def __init__(self, given: Pass, keep: bool, every_step: bool, precision: str) -> None:
        self.shape = given.shape
        self.cell = given.cell
        self.precision = precision
        self.weights = given.weights
        R, T, B = self.shape
        if not R * B:
            raise ValueError(f"inputs {tuple(given.inputs.shape)}: no replica, or no sequence")
        W = given.weights.W.detach()
        self.W = W if W[0].is_contiguous() else W.contiguous()
        forward = self._tiles("forward")
        self.length_R = self._lengths(given.length_R)
        self.inputs = self._given(given)
        self.stored = keep or every_step or forward.columns > 1
        self.states = [self._from(part) for part in given.begin()]
        self.gates = self.W.new_empty(R, T, B, self.W.shape[2]) if keep and self.cell.parts > 1 else None
        self._forward()
        if self.stored:
            rows = torch.arange(R, device=self.W.device)
            self.last: State = tuple(part[rows, self.length_R] for part in self.states)
        else:
            self.last = tuple(part[:, 0] for part in self.states)
        self.h_RTBH = self.states[0][:, 1:] if every_step else None

    def backward(
        self,
        dh_RTBH: Tensor | None,
        dlast: tuple[Tensor | None, ...],
        tape: Tape,
        into: Weights | None = None,
    ) -> Gradients:
        """See src.recurrence.backend.Run.

        Args:
            into: memory for the gradients of the weights.
        """
        delta, norms, d = self._backward(dh_RTBH, dlast, wants_norms=not tape.plain)
        if tape.keep or not only_omega(tape):
            tape.factors = self._factors(delta, norms, dh_RTBH, dlast)
        if tape.products is not None:
            tape.record_layer(self.inputs, self.weights, self.h_before, delta)
            return Gradients(None, delta, d)
        into = into or self._empty_gradients()
        self._of_W(into.W, delta, norms, tape)
        if not tape.keep:
            tape.factors = None
        if into.W_in is None or into.b is None:
            return Gradients(into, delta, d)
        products.of_inputs(into.W_in, into.b, self.inputs, delta, self.precision)
        return Gradients(into, None, d)

    @property
    def h_before(self) -> Tensor:
        """h before each step, RTBH."""
        return self.states[0][:, :-1]

    # -- launches ----------------------------------------------------------------------------------------------------

    def _forward(self) -> None:
        """Takes all steps."""
        R, T, B = self.shape
        W_in = self.weights.W_in
        symbols = W_in is not None and not self.inputs.is_floating_point()
        if symbols:
            assert W_in is not None and self.weights.b is not None
            x = self.inputs
            table = (W_in + self.weights.b[:, None]).detach().contiguous()
        else:
            x = project(self.inputs, self.weights).detach().contiguous()
            table = x  # not read
        h = self.states[0]
        symbols_there = 0 if W_in is None else W_in.shape[1]
        faults = self.W.new_empty(R, -(-B // self._tiles("forward").rows), dtype=torch.int8)
        arguments = self._arguments() | {"x": x, "table": table, "h": h, "I": symbols_there, "faults": faults}
        arguments |= {"x_next": x.stride(0), "h_next": h.stride(0)}
        self._launch("forward", arguments, {"SYMBOLS": symbols, "STORE": self.stored}, {"KEEP": self.gates is not None})
        if symbols:
            refuse(faults, IndexError(f"a symbol is outside [0, {symbols_there}), or a length outside [0, {T}]"))

    def _backward(
        self, dh_RTBH: Tensor | None, dlast: tuple[Tensor | None, ...], wants_norms: bool
    ) -> tuple[Tensor, tuple[Tensor, Tensor], State]:
        """Takes all steps back; returns δ, ‖d‖² and ‖v‖², if wanted, and dL/d(state before the first)."""
        R, T, B = self.shape
        new = self.W.new_empty
        delta = new(R, T, B, self.W.shape[2])
        norms = (new(R, T, B), new(R, T, B)) if wants_norms else (delta, delta)
        d = [self._derivative(part) for part in dlast]
        direct = delta if dh_RTBH is None else dh_RTBH.contiguous()
        arguments = self._arguments() | {"dh": direct, "delta": delta, "d2": norms[0], "v2": norms[1]}
        if len(d) == 1:
            arguments |= {"h": self.states[0], "d_state": d[0]}
        else:
            arguments |= {"dh_state": d[0], "dc_state": d[1]}
        self._launch("backward", arguments, {"DIRECT": dh_RTBH is not None, "NORMS": wants_norms}, {})
        return delta, norms, tuple(d)

    def _arguments(self) -> dict[str, Any]:
        """What both ways take."""
        R, T, B = self.shape
        found = {"W": self.W, "length_R": self.length_R, "T": T, "B": B, "H": self.cell.hidden_size}
        found["W_next"] = self.W.stride(0)
        if self.cell.parts == 1:
            return found | {"code_R": self._codes()[1]}
        return found | {"c": self.states[1], "gates": self.states[1] if self.gates is None else self.gates}

    def _launch(self, way: str, arguments: dict[str, Any], constants: dict[str, Any], of_lstm: dict[str, Any]) -> None:
        R, _, B = self.shape
        own = self._tiles(way)
        constants = {**constants, **own.constants, "PRECISION": self.precision}
        if isinstance(self.cell, LSTM):
            from src.recurrence.cuda.kernels import lstm

            kernel = getattr(lstm, f"lstm_{way}")
            constants |= of_lstm
        else:
            from src.recurrence.cuda.kernels import simple

            kernel = getattr(simple, f"simple_{way}")
            constants["CODE"] = self._codes()[0]
        launch(kernel, (R, -(-B // own.rows)), arguments, constants, own.warps)

    def _tiles(self, way: str) -> Tiles:
        """How the layer is cut."""
        lstm = isinstance(self.cell, LSTM)
        R, _, B = self.shape
        device = self.W.device
        return tiles(R, B, self.cell.hidden_size, lstm, way == "backward", room(device), processors(device))

    # -- memory ------------------------------------------------------------------------------------------------------

    def _codes(self) -> tuple[int, Tensor]:
        """The number of the activation of all, or MIXED and a number for each replica."""
        assert isinstance(self.cell, Vanilla)
        R = self.shape[0]
        names = self.cell.names(R)
        if len(names) != R:
            raise ValueError(f"{len(names)} activations for {R} replicas")
        if len(set(names)) == 1:
            return ACTIVATIONS[names[0]], self.length_R  # not read
        codes = torch.tensor([ACTIVATIONS[name] for name in names], dtype=torch.int32)
        return MIXED, sent(codes, self.W.device)

    def _given(self, given: Pass) -> Tensor:
        """The inputs; vectors are 0 in padding, where anything may stand. Kernels do not look at symbols there."""
        if given.weights.W_in is not None and not given.inputs.is_floating_point():
            return given.inputs.contiguous()
        return inside(given.inputs, given.weights, given.length_R).contiguous()

    def _lengths(self, length_R: Tensor | None) -> Tensor:
        """Each replica's steps; never beyond the inputs, whatever was given: kernels trust them."""
        R, T, _ = self.shape
        if length_R is None:
            return torch.full((R,), T, dtype=torch.int64, device=self.W.device)
        return length_R.to(torch.int64).clamp(0, T)

    def _from(self, before_RBH: Tensor) -> Tensor:
        """Memory for a part of the state that begins with this one."""
        R, T, B = self.shape
        steps = T + 1 if self.stored else 1
        part = self.W.new_empty(R, steps, B, self.cell.hidden_size)
        part[:, 0] = before_RBH.detach()
        return part

    def _derivative(self, by_last_RBH: Tensor | None) -> Tensor:
        """Memory for dL/d(a part of the state), at first that of the last one."""
        R, _, B = self.shape
        if by_last_RBH is None:
            return self.W.new_zeros(R, B, self.cell.hidden_size)
        return by_last_RBH.clone(memory_format=torch.contiguous_format)

    # -- products ----------------------------------------------------------------------------------------------------

    def _empty_gradients(self) -> Weights:
        """Memory for the gradients of this layer's weights."""
        W = torch.empty_like(self.W)
        W_in, b = self.weights.W_in, self.weights.b
        if W_in is None or b is None:
            return Weights(W)
        return Weights(W, torch.empty_like(W_in), torch.empty_like(b))

    def _of_W(self, gradient: Tensor, delta: Tensor, norms: tuple[Tensor, Tensor], tape: Tape) -> None:
        """Overwrites the gradient of W, with the tape's terms."""
        if not only_omega(tape):
            assert tape.factors is not None
            products.over_rows(tape.left(tape.factors), delta, gradient)
            return
        products.over_rows(self.h_before, delta, gradient)
        if tape.terms:
            name, term = omega_of(tape)
            tape.values[name], coefficient_RTB = products.omega(term, *norms)
            products.add_omega(gradient, self.W, coefficient_RTB, delta)

    def _factors(
        self,
        delta: Tensor,
        norms: tuple[Tensor, Tensor],
        dh_RTBH: Tensor | None,
        dlast: tuple[Tensor | None, ...],
    ) -> Factors:
        """All factors. Kernels leave neither v = δ Wᵀ nor d, the next step's v and the direct part."""
        R, T, B = self.shape
        v = torch.bmm(delta.flatten(1, 2), self.W.transpose(1, 2)).view(R, T, B, -1)
        d = torch.cat([v[:, 1:], torch.zeros_like(v[:, :1])], 1)
        step_T = torch.arange(T, device=d.device)
        if dh_RTBH is not None:
            inside_RT = step_T < self.length_R[:, None]
            d = d + torch.where(inside_RT[..., None, None], dh_RTBH, 0.0)
        if dlast and dlast[0] is not None:
            end_RT = step_T == self.length_R[:, None] - 1
            d = d + torch.where(end_RT[..., None, None], dlast[0][:, None], 0.0)
        return Factors(self.h_before, delta, v, d, *norms)
