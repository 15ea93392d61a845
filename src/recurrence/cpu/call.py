"""What all calls of the recurrence have in common: the struct, its pointers, and the memory behind them."""

from functools import cache

import torch
from torch import Tensor

from src.cells import LSTM, State, Vanilla, Weights
from src.directions import Tape
from src.recurrence.backend import Pass
from src.recurrence.cpu import structs
from src.recurrence.cpu.library import library
from src.recurrence.cpu.structs import Form, Input
from src.recurrence.cpu.support import ACTIVATIONS
from src.recurrence.known import omega_of

KINDS = {torch.int8: Input.SYMBOLS_8, torch.int64: Input.SYMBOLS_64, torch.float32: Input.VECTORS}


class Prepared:
    """Builds the argument struct of a C++ call and keeps alive the tensors that it points to.

    Raises:
        ValueError: shapes that do not fit together.
        TypeError: weights that are not float32 on the CPU.
    """

    def __init__(self, given: Pass, threads: int) -> None:
        cell = given.cell
        R, T, B = given.shape
        if not R * B:
            raise ValueError(f"inputs {tuple(given.inputs.shape)}: no replica, or no sequence")
        self.shape = (R, T, B)
        self.H = cell.hidden_size
        self.gates = cell.gates
        self.library = library()
        lanes = self.library.lanes()
        self.padded = -(-self.H // lanes) * lanes
        self.memory: dict[str, Tensor] = {}
        self.call = structs.Call(R=R, T=T, B=B, H=self.H, lstm=isinstance(cell, LSTM), threads=threads)
        self._set_inputs(given.inputs, given.weights, given.length_R)
        if isinstance(cell, Vanilla):
            self._set_activations(cell)
        self.set_weights(given.weights)

    def _set_inputs(self, inputs: Tensor, weights: Weights, length_R: Tensor | None) -> None:
        R, T, _ = self.shape
        if weights.W_in is not None:
            if inputs.dtype not in KINDS:
                inputs = inputs.float() if inputs.is_floating_point() else inputs.long()
            self.call.input = KINDS[inputs.dtype]
            self.call.I = weights.W_in.shape[1]
        if weights.W_out is not None:
            self.call.O = weights.W_out.shape[2]
        wanted: tuple[int, ...] = ()  # the shape of one sequence's input at one step
        if self.call.input == Input.DENSE:
            wanted = (self.gates * self.H,)
        elif self.call.input == Input.VECTORS:
            wanted = (self.call.I,)
        if inputs.shape[3:] != wanted or (length_R is not None and length_R.shape != (R,)):
            raise ValueError(f"inputs {tuple(inputs.shape)}: not (R, T, B, *{wanted}), or not {R} lengths")
        self.point(x=inputs, length=torch.full((R,), T) if length_R is None else length_R.to(torch.int64))

    def _set_activations(self, cell: Vanilla) -> None:
        R = self.shape[0]
        names = cell.names(R)
        if len(names) != R:
            raise ValueError(f"{len(names)} activations for {R} replicas")
        self.point(activation=_codes(tuple(names)))

    def point(self, **tensors: Tensor) -> None:
        """Sets pointers to contiguous tensors."""
        for name, given in tensors.items():
            tensor = given.to("cpu", torch.float32 if given.is_floating_point() else given.dtype).contiguous()
            self.memory[name] = tensor
            setattr(self.call, name, tensor.data_ptr())

    def set_state(self, state: State) -> None:
        """Sets the state before the first step."""
        self.point(**dict(zip(("h0", "c0"), state, strict=False)))

    def set_weights(self, weights: Weights, prefix: str = "") -> None:
        """Sets pointers to weights or, with prefix d, to gradients.

        Raises:
            ValueError: weights of other shapes than the cell and the inputs have; C++ would read beyond their end.
            TypeError: weights of another type than float32.
        """
        for name, tensor in weights.named():
            self._check_weight(name, tensor, prefix)
            next_replica, *inner = tensor.stride()
            if inner not in ([tensor.shape[-1], 1], [1]):
                if prefix:
                    raise ValueError(f"{prefix}{name} is not contiguous, so that it cannot be written to")
                tensor = tensor.contiguous()
                next_replica = tensor.stride(0)
            self.memory[f"{prefix}{name}"] = tensor
            setattr(self.call, f"{prefix}{name}", tensor.data_ptr())
            setattr(self.call, f"{prefix}{name}_next", next_replica)

    def _check_weight(self, name: str, tensor: Tensor, prefix: str) -> None:
        R = self.shape[0]
        call = self.call
        G = self.gates * self.H
        shapes = {
            "W": (R, self.H, G),
            "W_in": (R, call.I, G),
            "b": (R, G),
            "W_out": (R, self.H, call.O),
            "b_out": (R, call.O),
        }
        if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
            raise TypeError(f"{prefix}{name} is {tensor.dtype} on {tensor.device}: float32 on the CPU is wanted")
        if tensor.shape != shapes[name]:
            raise ValueError(f"{prefix}{name} has shape {tuple(tensor.shape)}, not {shapes[name]}")

    def add_omega(self, tape: Tape) -> None:
        """Asks for Ω beside the loss, a tape's one term. Its value is on the tape after the call."""
        name, term = omega_of(tape)
        R = self.shape[0]
        if term.alpha_R.shape != (R,):
            raise ValueError(f"alpha has shape {tuple(term.alpha_R.shape)}, not ({R},)")
        form = torch.where(term.plain_R != 0, int(Form.PLAIN), int(Form.SQUARED))
        self.point(alpha=term.alpha_R.float(), form=form, omega=torch.empty(R))
        tape.values[name] = self.memory["omega"]

    def call_backward(self) -> None:
        """Calls C++.

        Raises:
            IndexError: a symbol or a class that there is not.
        """
        if self.library.backward(self.call):
            self.refuse()

    def refuse(self) -> None:
        """Says what C++ has found.

        Raises:
            IndexError: always.
        """
        raise IndexError(f"a symbol is outside [0, {self.call.I}), or a class outside [0, {self.call.O})")


@cache
def _codes(activations: tuple[str, ...]) -> Tensor:
    return torch.tensor([ACTIVATIONS[name] for name in activations], dtype=torch.int32)
