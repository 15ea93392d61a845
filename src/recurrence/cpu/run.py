"""One pass through all steps, and back, for autograd."""

import torch
from torch import Tensor

from src.cells import Weights
from src.directions import Factors, Tape
from src.linalg import product
from src.recurrence.backend import Gradients, Pass
from src.recurrence.cpu.call import Prepared
from src.recurrence.cpu.memory import empty
from src.recurrence.cpu.structs import Input
from src.recurrence.known import only_omega


class Run(Prepared):
    """Runs all steps, and back.

    What is kept lies in rows padded to whole vectors, ``h`` of T + 1 steps beginning with the state before the first.

    Args:
        keep: what :meth:`backward` needs.
        every_step: whether h of every step is handed out. Without it and without ``keep`` memory does not grow with T.
    """

    def __init__(self, given: Pass, keep: bool, every_step: bool, threads: int) -> None:
        super().__init__(given, threads)
        self.inputs: Tensor | None = given.inputs
        self.weights = given.weights
        R, T, B = self.shape
        state = given.begin()
        lstm = len(state) > 1
        self.call.pad = every_step or keep  # what is kept may be handed out later
        if any(part.shape != (R, B, self.H) for part in state):
            raise ValueError(f"the parts of the state must be {(R, B, self.H)}")
        self.set_state(state)
        last = ("h_last", "c_last") if lstm else ("h_last",)
        self.point(**{name: torch.empty(R, B, self.H) for name in last})
        if keep or every_step:
            self.point(h=empty(R, T + 1, B, self.padded))
        if keep and lstm:
            self.point(c=empty(R, T + 1, B, self.padded), gates=empty(R, T, B, 4 * self.padded))
        if self.library.forward(self.call):
            raise IndexError(f"a symbol is outside [0, {self.call.I})")
        if self.call.input == Input.DENSE:
            self.inputs = None  # large, and of no use on the way back
            del self.memory["x"]
            self.call.x = None
        self.last = tuple(self.memory[name] for name in last)
        self.h_RTBH = self.memory["h"][:, 1:, :, : self.H] if every_step else None

    def backward(self, dh_RTBH: Tensor | None, dlast: tuple[Tensor | None, ...], tape: Tape) -> Gradients:
        """See src.recurrence.backend.Run."""
        dense = self.call.input == Input.DENSE
        by_factors = not only_omega(tape)
        every_factor = tape.keep or by_factors
        wants_products = tape.products is not None
        self.call.pad = every_factor or dense or wants_products
        self._set_direct(dh_RTBH, dlast)
        gradients = None if wants_products else self._empty_gradients()
        self._set_factors(every_factor, wants_products)
        if tape.terms and not by_factors:
            self.add_omega(tape)
        self.call_backward()
        if wants_products:
            tape.record_layer(self.inputs, self.weights, self._h_before(), self._delta())
        if every_factor:
            factors = self.factors()
            tape.factors = factors if tape.keep else None
            if by_factors and gradients is not None:
                gradients.W = product(tape.left(factors), factors.delta_RTBG)
        back = tuple(self.memory[name] for name in ("dh0", "dc0") if name in self.memory)
        return Gradients(gradients, self.memory.get("dz"), back)

    def factors(self) -> Factors:
        """Returns views without the padding of the rows."""
        v = self.memory["v"][..., : self.H]
        d = self.memory["d"][..., : self.H]
        delta = self._delta().flatten(-2)
        return Factors(self._h_before(), delta, v, d, self.memory["d2"], self.memory["v2"])

    def _set_direct(self, dh_RTBH: Tensor | None, dlast: tuple[Tensor | None, ...]) -> None:
        """Sets what flows back into the outputs, and where to put what flows out of the inputs."""
        R, T, B = self.shape
        direct = {"dh": dh_RTBH, **dict(zip(("dh_last", "dc_last"), dlast, strict=False))}
        self.point(**{name: tensor for name, tensor in direct.items() if tensor is not None})
        for name in ("h0", "c0"):
            if name in self.memory:
                self.point(**{f"d{name}": torch.empty(R, B, self.H)})
        if self.call.input == Input.DENSE:
            self.point(dz=empty(R, T, B, self.gates * self.H))

    def _empty_gradients(self) -> Weights:
        R, H, G = self.shape[0], self.H, self.gates * self.H
        gradients = Weights(torch.empty(R, H, G))
        if self.call.input != Input.DENSE:
            gradients.W_in = torch.empty(R, self.call.I, G)
            gradients.b = torch.empty(R, G)
        self.set_weights(gradients, "d")
        return gradients

    def _set_factors(self, every_factor: bool, wants_products: bool) -> None:
        R, T, B = self.shape
        if every_factor or wants_products:
            self.point(delta=empty(R, T, B, self.gates * self.padded))
        if every_factor:
            self.point(d=empty(R, T, B, self.padded), v=empty(R, T, B, self.padded))
            self.point(d2=torch.empty(R, T, B), v2=torch.empty(R, T, B))

    def _delta(self) -> Tensor:
        """Returns δ by gate, RTBgH: a view without the padding."""
        return self.memory["delta"].unflatten(-1, (self.gates, self.padded))[..., : self.H]

    def _h_before(self) -> Tensor:
        return self.memory["h"][:, :-1, :, : self.H]
