"""The recurrence on CPUs: cpu.cpp, compiled at first use (build.py), called on torch's memory."""

import ctypes
from functools import cache

import torch
from torch import Tensor

from src.cells import LSTM, Cell, State, Vanilla, Weights
from src.cells.cell import NAMES
from src.directions import Factors, OmegaTerm, Product, SimplexCombination, Tape
from src.linalg import product
from src.recurrence.backend import Gradients, Pass, Target
from src.recurrence.cpu.build import Unavailable, build
from src.recurrence.cpu.memory import empty
from src.recurrence.reference import Reference

GRADIENTS = tuple(f"d{name}" for name in NAMES)
LOSSES = {"cross_entropy": 1, "squared_error": 2}
DENSE, SYMBOLS_8, SYMBOLS_64, VECTORS = range(4)
FORMS = {"squared": 0, "plain": 1}
EQUATIONS = ("advance", "pull_back", "_each", "names")
ACTIVATIONS = {name: code for code, name in enumerate(("tanh", "sigmoid", "relu", "elu", "identity"))}

threads = torch.get_num_threads()
"""Of the calls to come. Changes nothing but the speed."""


class _Call(ctypes.Structure):
    """struct Call of cpu.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("R", "T", "B", "H", "I", "O")),
        *((name, ctypes.c_int64) for name in ("lstm", "threads", "input", "form", "loss", "every", "pad")),
        *((name, ctypes.c_void_p) for name in ("length", "activation", "x", "target")),
        *((name, ctypes.c_void_p) for name in (*NAMES, *GRADIENTS)),
        *((f"{name}_next", ctypes.c_int64) for name in (*NAMES, *GRADIENTS)),
        *((name, ctypes.c_void_p) for name in ("h0", "c0", "h", "c", "gates", "h_last", "c_last")),
        *((name, ctypes.c_void_p) for name in ("dh", "dh_last", "dc_last", "dh0", "dc0")),
        *(
            (name, ctypes.c_void_p)
            for name in ("delta", "d", "v", "e", "d2", "v2", "dz", "losses", "alpha", "omega", "simplex")
        ),
    ]


class _Linear(ctypes.Structure):
    """struct Linear of cpu.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("R", "N", "K", "M", "threads", "tanh")),
        *((name, ctypes.c_int64) for name in ("x_next", "x_row", "W_next", "b_next")),
        *((name, ctypes.c_void_p) for name in ("x", "W", "b", "y", "dy", "dx", "dW", "db")),
    ]


class _ProductStruct(ctypes.Structure):
    """struct Product of cpu.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("input", "K", "H", "gates", "left_next", "left_step", "left_row")),
        *((name, ctypes.c_int64) for name in ("right_next", "right_step", "right_row", "right_gate")),
        *((name, ctypes.c_int64) for name in ("at_end", "ready", "weight_next", "bias_next")),
        *((name, ctypes.c_void_p) for name in ("left", "right", "weight", "bias")),
    ]


class _Simplex(ctypes.Structure):
    """struct Simplex of cpu.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("R", "T", "B", "threads", "products", "descent")),
        *((name, ctypes.c_void_p) for name in ("length", "product", "beta", "psi")),
    ]


class _Noise(ctypes.Structure):
    """struct Noise of cpu.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("R", "N", "K", "threads", "x_next", "x_row")),
        *((name, ctypes.c_void_p) for name in ("stream", "quantiles", "x", "y")),
    ]


@cache
def _attempt() -> ctypes.CDLL | Unavailable:
    try:
        library = ctypes.CDLL(str(build()))
    except Unavailable as problem:
        return problem
    except OSError as problem:  # a folder from which nothing may be run, a system library that is missing
        return Unavailable(f"the library cannot be loaded ({problem}); set XDG_CACHE_HOME to another folder")
    for function in (library.forward, library.backward):
        function.argtypes = [ctypes.POINTER(_Call)]
    for function in (library.linear_forward, library.linear_backward):
        function.argtypes, function.restype = [ctypes.POINTER(_Linear)], None
    library.simplex.argtypes, library.simplex.restype = [ctypes.POINTER(_Simplex)], None
    library.add_noise.argtypes, library.add_noise.restype = [ctypes.POINTER(_Noise)], None
    return library


def library() -> ctypes.CDLL:
    """The compiled cpu.cpp.

    Raises:
        Unavailable: it cannot be built here; the message says why, and what to install.
    """
    found = _attempt()
    if isinstance(found, Unavailable):
        raise found
    return found


def available() -> bool:
    """Whether it can be built here, or has been."""
    return not isinstance(_attempt(), Unavailable)


def reason() -> str:
    """Why not, in one line that says what to install."""
    return str(_attempt())


def runs(cell: Cell, W: Tensor) -> bool:
    """Whether this cell, on this device and in this precision, is one of those compiled in; a subclass is not if it
    changes any of the equations."""
    ours = LSTM if isinstance(cell, LSTM) else Vanilla
    same = all(getattr(type(cell), name, None) is getattr(ours, name, None) for name in EQUATIONS)
    known = not isinstance(cell, Vanilla) or set(cell.names(1)) <= ACTIVATIONS.keys()
    return same and known and W.device.type == "cpu" and W.dtype == torch.float32


def compiled(tape: Tape) -> bool:
    """Whether its one term is Ω as it is compiled in."""
    terms = list(tape.terms.values())
    return len(terms) == 1 and isinstance(terms[0], OmegaTerm) and type(terms[0]).__call__ is OmegaTerm.__call__


@cache
def _codes(activations: tuple[str, ...]) -> Tensor:
    return torch.tensor([ACTIVATIONS[name] for name in activations], dtype=torch.int32)


class _Prepared:
    """A call in the making, and the memory that its pointers point to."""

    def __init__(self, cell: Cell, inputs: Tensor, weights: Weights, length_R: Tensor | None) -> None:
        R, T, B = self.shape = inputs.shape[:3]
        if not R * B:
            raise ValueError(f"inputs {tuple(inputs.shape)}: no replica, or no sequence")
        self.H = H = cell.hidden_size
        self.gates = cell.gates
        self.library = library()
        lanes = self.library.lanes()
        self.padded = -(-H // lanes) * lanes
        self.memory: dict[str, Tensor] = {}
        self.call = _Call(R=R, T=T, B=B, H=H, lstm=isinstance(cell, LSTM), threads=threads)
        if weights.W_in is not None:
            kinds = {torch.int8: SYMBOLS_8, torch.int64: SYMBOLS_64, torch.float32: VECTORS}
            if inputs.dtype not in kinds:
                inputs = inputs.float() if inputs.is_floating_point() else inputs.long()
            self.call.input, self.call.I = kinds[inputs.dtype], weights.W_in.shape[1]
        if weights.W_out is not None:
            self.call.O = weights.W_out.shape[2]
        wanted = {DENSE: (self.gates * H,), VECTORS: (self.call.I,)}.get(self.call.input, ())
        if inputs.shape[3:] != wanted or (length_R is not None and length_R.shape != (R,)):
            raise ValueError(f"inputs {tuple(inputs.shape)}: not (R, T, B, *{wanted}), or not {R} lengths")
        self.point(x=inputs, length=torch.full((R,), T) if length_R is None else length_R.to(torch.int64))
        if isinstance(cell, Vanilla):
            names = cell.names(R)
            if len(names) != R:
                raise ValueError(f"{len(names)} activations for {R} replicas")
            self.point(activation=_codes(tuple(names)))
        self.rows(weights)

    def point(self, **tensors: Tensor) -> None:
        """Sets pointers to contiguous tensors."""
        for name, tensor in tensors.items():
            tensor = tensor.to("cpu", torch.float32 if tensor.is_floating_point() else tensor.dtype)
            self.memory[name] = tensor = tensor.contiguous()
            setattr(self.call, name, tensor.data_ptr())

    def rows(self, weights: Weights, prefix: str = "") -> None:
        """Sets pointers to weights or, prefixed by d, gradients; what they point to must be as large as C++ believes.

        Raises:
            ValueError: weights of other shapes than the cell and the inputs have.
            TypeError: of another type than float32.
        """
        R, H, G, call = self.shape[0], self.H, self.gates * self.H, self.call
        shapes = {"W": (R, H, G), "W_in": (R, call.I, G), "b": (R, G), "W_out": (R, H, call.O), "b_out": (R, call.O)}
        for name, tensor in weights.named():
            if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
                raise TypeError(f"{prefix}{name} is {tensor.dtype} on {tensor.device}: float32 on the CPU is wanted")
            if tensor.shape != shapes[name]:
                raise ValueError(f"{prefix}{name} has shape {tuple(tensor.shape)}, not {shapes[name]}")
            next_replica, *inner = tensor.stride()
            if inner not in ([tensor.shape[-1], 1], [1]):
                if prefix:
                    raise ValueError(f"{prefix}{name} is not contiguous, so that it cannot be written to")
                tensor = tensor.contiguous()
                next_replica = tensor.stride(0)
            self.memory[f"{prefix}{name}"] = tensor
            setattr(call, f"{prefix}{name}", tensor.data_ptr())
            setattr(call, f"{prefix}{name}_next", next_replica)

    def add_omega(self, tape: Tape) -> None:
        ((name, term),) = tape.terms.items()
        if term.alpha_R.shape != (self.shape[0],):
            raise ValueError(f"alpha has shape {tuple(term.alpha_R.shape)}, not ({self.shape[0]},)")
        self.call.form = FORMS[term.form]
        self.point(alpha=term.alpha_R.float(), omega=torch.empty(self.shape[0]))
        tape.values[name] = self.memory["omega"]

    def delta(self) -> Tensor:
        """δ by gate, RTBgH: a view without the padding."""
        return self.memory["delta"].unflatten(-1, (self.gates, self.padded))[..., : self.H]

    def backward(self) -> None:
        if self.library.backward(self.call):
            raise IndexError(f"a symbol is outside [0, {self.call.I}), or a class outside [0, {self.call.O})")


def learn(
    cell: Cell,
    inputs: Tensor,
    target: Tensor,
    weights: Weights,
    gradients: Weights,
    loss: str,
    length_R: Tensor | None,
    tape: Tape,
    state: State | None,
) -> tuple[Tensor, State]:
    """A whole update without its step, see src.recurrence.learn."""
    update = _Prepared(cell, inputs, weights, length_R)
    R, T, B = update.shape
    if target.shape not in ((R, B), (R, T, B)):
        raise ValueError(f"target {tuple(target.shape)} for inputs {tuple(inputs.shape)}")
    if loss == "squared_error" and update.call.O != 1:
        raise ValueError(f"squared_error is that of one output, not of {update.call.O}")
    update.call.loss, update.call.every = LOSSES[loss], target.ndim == 3
    loss_R = torch.empty(R)
    update.point(target=target.to(torch.int64 if loss == "cross_entropy" else torch.float32), losses=loss_R)
    update.rows(gradients, "d")
    if tape.combination is not None:
        direction = _Direction(R, T, B, update.memory["length"], tape.combination)
        update.call.simplex = ctypes.addressof(direction.call)
    if tape.terms:
        update.add_omega(tape)
    last = tuple(torch.empty(R, B, update.H) for _ in range(cell.parts))
    update.point(**dict(zip(("h_last", "c_last"), last, strict=False)))
    if state is not None:
        update.point(**dict(zip(("h0", "c0"), state, strict=False)))
    update.backward()
    return loss_R, last


class Run(_Prepared):
    """One pass through all steps, and back: as reference.Run, which says what the arguments and methods are.

    What is kept lies in rows padded to whole vectors, ``h`` of T + 1 steps beginning with the state before the first.

    Args:
        every_step: h of every step is handed out; without, and unless ``keep``, memory does not grow with T.
    """

    def __init__(
        self,
        cell: Cell,
        inputs: Tensor,
        weights: Weights,
        state: State,
        length_R: Tensor | None,
        keep: bool,
        every_step: bool,
    ) -> None:
        super().__init__(cell, inputs, weights, length_R)
        self.inputs, self.weights = inputs, weights
        (R, T, B), H, P, lstm = self.shape, self.H, self.padded, len(state) > 1
        self.call.pad = every_step or keep  # what is kept may be handed out later
        if any(part.shape != (R, B, H) for part in state):
            raise ValueError(f"the parts of the state must be {(R, B, H)}")
        self.point(**dict(zip(("h0", "c0"), state, strict=False)))
        last = ("h_last", "c_last") if lstm else ("h_last",)
        self.point(**{name: torch.empty(R, B, H) for name in last})
        if keep or every_step:
            self.point(h=empty(R, T + 1, B, P))
        if keep and lstm:
            self.point(c=empty(R, T + 1, B, P), gates=empty(R, T, B, 4 * P))
        if self.library.forward(self.call):
            raise IndexError(f"a symbol is outside [0, {self.call.I})")
        if self.call.input == DENSE:
            del self.memory["x"], self.inputs  # large, and of no use on the way back
            self.call.x = None
        self.last = tuple(self.memory[name] for name in last)
        self.h_RTBH = self.memory["h"][:, 1:, :, :H] if every_step else None

    def backward(self, dh_RTBH: Tensor | None, dlast: tuple[Tensor | None, ...], tape: Tape) -> Gradients:  # type: ignore[override]
        (R, T, B), H, G, memory = self.shape, self.H, self.gates * self.H, self.memory
        dense = self.call.input == DENSE
        every_factor = tape.keep or (bool(tape.terms) and not compiled(tape))
        self.call.pad = every_factor or dense or tape.products is not None
        direct = {"dh": dh_RTBH, **dict(zip(("dh_last", "dc_last"), dlast, strict=False))}
        self.point(**{name: tensor for name, tensor in direct.items() if tensor is not None})
        back = [f"d{name}" for name in ("h0", "c0") if name in memory]
        self.point(**{name: torch.empty(R, B, H) for name in back})
        if dense:
            self.point(dz=empty(R, T, B, G))
        if tape.products is None:
            gradients = Weights(torch.empty(R, H, G))
            if not dense:
                gradients.W_in, gradients.b = torch.empty(R, self.call.I, G), torch.empty(R, G)
            self.rows(gradients, "d")
        if every_factor or tape.products is not None:
            self.point(delta=empty(R, T, B, self.gates * self.padded))
        if every_factor:
            self.point(**{name: empty(R, T, B, self.padded) for name in ("d", "v")})
            self.point(d2=torch.empty(R, T, B), v2=torch.empty(R, T, B))
        if compiled(tape):
            self.add_omega(tape)
        super().backward()
        if tape.products is not None:
            tape.record_layer(None if dense else self.inputs, self.weights, memory["h"][:, :-1, :, :H], self.delta())
        if every_factor:
            factors = self.factors()
            tape.factors = factors if tape.keep else None
            if tape.products is None and tape.terms and not compiled(tape):
                gradients.W = product(tape.left(factors), factors.delta_RTBG)
        return Gradients(
            None if tape.products is not None else gradients, memory.get("dz"), tuple(memory[name] for name in back)
        )

    def factors(self) -> Factors:
        """Views without the padding of the rows."""
        memory, H = self.memory, self.H
        delta = self.delta().flatten(-2)
        v, d = memory["v"][..., :H], memory["d"][..., :H]
        return Factors(memory["h"][:, :-1, :, :H], delta, v, d, memory["d2"], memory["v2"])


def _rows(x_RTBK: Tensor) -> Tensor:
    """With the rows of a replica at one distance from each other."""
    _, _, B, K = x_RTBK.shape
    apart = x_RTBK.stride(2)
    return x_RTBK if x_RTBK.stride()[1:] == (B * apart, apart, 1) and apart >= K else x_RTBK.contiguous()


def add_noise(x_RTBK: Tensor, streams: Tensor, quantiles: Tensor) -> Tensor:
    """x and one of the quantiles each, by the numbers of Philox's streams (R times 4 words of 64 bits)."""
    R, T, B, K = x_RTBK.shape
    x, y = _rows(x_RTBK.detach()), empty(R, T, B, K)
    call = _Noise(R=R, N=T * B, K=K, threads=threads, x_next=x.stride(0), x_row=x.stride(2))
    call.stream, call.quantiles, call.x, call.y = (each.data_ptr() for each in (streams, quantiles, x, y))
    library().add_noise(call)
    return y


class Linear:
    """y = x W + b of all rows of x_RTBK, or its tanh; and back."""

    def __init__(self, x: Tensor, W: Tensor, b: Tensor, tanh: bool) -> None:
        R, T, B, K = x.shape
        x = _rows(x)
        W, b = W.contiguous() if W[0].stride() != (W.shape[2], 1) else W, b.contiguous() if b.stride(1) != 1 else b
        self.memory = (x, W, b)
        self.call = _Linear(R=R, N=T * B, K=K, M=W.shape[2], threads=threads, tanh=tanh)
        self.call.x_next, self.call.x_row = x.stride(0), x.stride(2)
        self.call.W_next, self.call.b_next = W.stride(0), b.stride(0)
        self.call.x, self.call.W, self.call.b = x.data_ptr(), W.data_ptr(), b.data_ptr()
        self.y = empty(R, T, B, W.shape[2])
        self.call.y = self.y.data_ptr()
        library().linear_forward(self.call)

    def backward(self, dy: Tensor, y: Tensor, wants_dx: bool) -> tuple[Tensor | None, Tensor, Tensor]:
        """dL/dx, dL/dW and dL/db."""
        x, W, b = self.memory
        dy, dx = dy.contiguous(), empty(*x.shape) if wants_dx else None
        dW, db = torch.empty(W.shape), torch.empty(b.shape)
        self.call.dy, self.call.dW, self.call.db = dy.data_ptr(), dW.data_ptr(), db.data_ptr()
        self.call.dx = None if dx is None else dx.data_ptr()
        library().linear_backward(self.call)
        return dx, dW, db


class _Direction:
    """A call in the making, without its products, and the memory that its pointers point to."""

    def __init__(self, R: int, T: int, B: int, length_R: Tensor, term: SimplexCombination) -> None:
        numbers = length_R.to(torch.int64), term.betas(length_R, T), term.psi_R
        self.memory = [number.contiguous() for number in numbers]
        self.call = _Simplex(R=R, T=T, B=B, threads=threads, descent=term.descent)
        self.call.length, self.call.beta, self.call.psi = (each.data_ptr() for each in self.memory)


def simplex(
    rows: list[Product], gradients: dict[str, Tensor], length_R: Tensor, T: int, term: SimplexCombination
) -> None:
    """src.recurrence.simplex, where all products are there as rows."""
    if not all(gradient[0].is_contiguous() for gradient in gradients.values()):
        raise ValueError("a gradient is not contiguous within a replica, so that it cannot be written to")
    kept, products = [], (_ProductStruct * len(rows))()
    for call, own in zip(products, rows, strict=True):
        left, right = own.left, own.right if own.right.ndim == 5 else own.right[:, :, :, None]
        if left.is_floating_point():
            left = left if left.stride(3) == 1 else left.contiguous()
            call.input = VECTORS
        else:
            left = (left if left.dtype == torch.int8 else left.long()).contiguous()
            call.input = SYMBOLS_8 if left.dtype == torch.int8 else SYMBOLS_64
        right = right if right.stride(4) == 1 else right.contiguous()
        weight, bias = gradients[own.weight], None if own.bias is None else gradients[own.bias]
        call.K, call.gates, call.H, call.at_end = weight.shape[1], *right.shape[3:], own.at_end
        call.left_next, call.left_step, call.left_row = left.stride()[:3]
        call.right_next, call.right_step, call.right_row, call.right_gate = right.stride()[:4]
        call.left, call.right, call.weight = left.data_ptr(), right.data_ptr(), weight.data_ptr()
        call.weight_next = weight.stride(0)
        if bias is not None:
            call.bias, call.bias_next = bias.data_ptr(), bias.stride(0)
        kept.append((left, right))
    R, _, B = rows[0].right.shape[:3]
    direction = _Direction(R, T, B, length_R, term)
    direction.call.products, direction.call.product = len(rows), ctypes.addressof(products)
    library().simplex(direction.call)


class Compiled(Reference):
    name = "fused"

    wants_torch_threads = False

    def __init__(self, count: int) -> None:
        global threads
        library()
        threads = count

    @classmethod
    def missing(cls):
        return None if available() else reason()

    def runs(self, cell, like):
        return runs(cell, like)

    def takes(self, *tensors):
        return all(each.dtype == torch.float32 and each.device.type == "cpu" for each in tensors)

    def forward(self, given, keep, every_step):
        return Run(given.cell, given.inputs, given.weights, given.begin(), given.length_R, keep, every_step)

    def learn(self, given, target, gradients, tape):
        known = not tape.keep and (not tape.terms or compiled(tape))
        known = known and (tape.products is None or isinstance(tape.combination, SimplexCombination))
        if not (known and target.loss in LOSSES):
            return None
        return learn(
            given.cell,
            given.inputs,
            target.values,
            given.weights,
            gradients,
            target.loss,
            given.length_R,
            tape,
            given.state,
        )

    def linear(self, x, W, b, tanh):
        return Linear(x, W, b, tanh)

    def add_noise(self, x, keys, std):
        import numpy as np

        from tasks.draws import quantiles

        words = np.array([[seed, stream, part, index] for seed, stream, index, part in keys], dtype=np.uint64)
        scaled = quantiles() * np.float32(std)
        return add_noise(x, torch.from_numpy(words.view(np.int64)), torch.from_numpy(scaled))

    def combine(self, combination, products, gradients, length_R, steps):
        if isinstance(combination, SimplexCombination) and all(isinstance(p, Product) for p in products):
            simplex(products, gradients, length_R, steps, combination)
        else:
            combination(products, gradients, length_R, steps)
