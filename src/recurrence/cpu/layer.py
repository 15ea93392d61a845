"""Layers without a recurrence: x W + b, and noise."""

import torch
from torch import Tensor

from src.recurrence.cpu import structs
from src.recurrence.cpu.library import library
from src.recurrence.cpu.memory import empty


class Linear:
    """Computes y = x W + b of all rows of x_RTBK, or its tanh; and back."""

    def __init__(self, x: Tensor, W: Tensor, b: Tensor, tanh: bool, threads: int) -> None:
        R, T, B, K = x.shape
        M = W.shape[2]
        x = _rows(x)
        W = W if W[0].stride() == (M, 1) else W.contiguous()
        b = b if b.stride(1) == 1 else b.contiguous()
        self.memory = (x, W, b)
        self.y: Tensor | None = empty(R, T, B, M)
        self.call = structs.Linear(R=R, N=T * B, K=K, M=M, threads=threads, tanh=tanh)
        self.call.x_next = x.stride(0)
        self.call.x_row = x.stride(2)
        self.call.W_next = W.stride(0)
        self.call.b_next = b.stride(0)
        self.call.x = x.data_ptr()
        self.call.W = W.data_ptr()
        self.call.b = b.data_ptr()
        self.call.y = self.y.data_ptr()
        library().linear_forward(self.call)

    def backward(self, dy: Tensor, y: Tensor, wants_dx: bool) -> tuple[Tensor | None, Tensor, Tensor]:
        """Returns dL/dx, dL/dW and dL/db."""
        x, W, b = self.memory
        dy = dy.contiguous()
        dx = empty(*x.shape) if wants_dx else None
        dW = torch.empty(W.shape)
        db = torch.empty(b.shape)
        self.call.y = y.data_ptr()  # read where there is a tanh
        self.call.dy = dy.data_ptr()
        self.call.dx = None if dx is None else dx.data_ptr()
        self.call.dW = dW.data_ptr()
        self.call.db = db.data_ptr()
        library().linear_backward(self.call)
        return dx, dW, db


def add_noise(x_RTBK: Tensor, streams: Tensor, quantiles: Tensor, threads: int) -> Tensor:
    """Adds to each number one of the quantiles, drawn from Philox's streams (R times 4 words of 64 bits)."""
    R, T, B, K = x_RTBK.shape
    x = _rows(x_RTBK.detach())
    y = empty(R, T, B, K)
    call = structs.Noise(R=R, N=T * B, K=K, threads=threads, x_next=x.stride(0), x_row=x.stride(2))
    call.stream = streams.data_ptr()
    call.quantiles = quantiles.data_ptr()
    call.x = x.data_ptr()
    call.y = y.data_ptr()
    library().add_noise(call)
    return y


def _rows(x_RTBK: Tensor) -> Tensor:
    """Returns x, copied if need be, so that the rows of a replica are at one distance from each other."""
    _, _, B, K = x_RTBK.shape
    apart = x_RTBK.stride(2)
    regular = x_RTBK.stride()[1:] == (B * apart, apart, 1) and apart >= K
    return x_RTBK if regular else x_RTBK.contiguous()
