"""Galvan's simplex direction, from all products that make the gradients."""

import ctypes

import torch
from torch import Tensor

from src.directions import Product, SimplexCombination
from src.recurrence.cpu import structs
from src.recurrence.cpu.library import library
from src.recurrence.cpu.structs import Input


class Direction:
    """Builds the argument struct of the direction, without its products, and keeps alive the tensors behind it."""

    def __init__(self, R: int, T: int, B: int, length_R: Tensor, wanted: SimplexCombination, threads: int) -> None:
        length = length_R.to(torch.int64).contiguous()
        beta = wanted.betas(length_R, T).contiguous()
        psi = wanted.psi_R.contiguous()
        tiny = wanted.tiny_R.contiguous()
        self.memory = (length, beta, psi, tiny)
        self.call = structs.Simplex(R=R, T=T, B=B, threads=threads, descent=wanted.descent)
        self.call.length = length.data_ptr()
        self.call.beta = beta.data_ptr()
        self.call.psi = psi.data_ptr()
        self.call.tiny = tiny.data_ptr()


def simplex(
    wanted: SimplexCombination,
    products: list[Product],
    gradients: dict[str, Tensor],
    length_R: Tensor,
    steps: int,
    threads: int,
) -> None:
    """Overwrites the gradients with the direction. See src.recurrence.combine."""
    if not all(gradient[0].is_contiguous() for gradient in gradients.values()):
        raise ValueError("a gradient is not contiguous within a replica, so that it cannot be written to")
    passed = (structs.Product * len(products))()
    kept = []
    for product, own in zip(passed, products, strict=True):
        left = _left(own.left)
        right = _right(own.right)
        kept.append((left, right))
        _set_factors(product, left, right)
        product.at_end = own.at_end
        weight = gradients[own.weight]
        product.K = weight.shape[1]
        product.weight = weight.data_ptr()
        product.weight_next = weight.stride(0)
        if own.bias is not None:
            bias = gradients[own.bias]
            product.bias = bias.data_ptr()
            product.bias_next = bias.stride(0)
    R, _, B = products[0].right.shape[:3]
    direction = Direction(R, steps, B, length_R, wanted, threads)
    direction.call.products = len(products)
    direction.call.product = ctypes.addressof(passed)
    library().simplex(direction.call)


def _left(left: Tensor) -> Tensor:
    """Returns the left factor, RTBK or symbols RTB, as C++ can read it."""
    if left.is_floating_point():
        return left if left.stride(3) == 1 else left.contiguous()
    return (left if left.dtype == torch.int8 else left.long()).contiguous()


def _right(right: Tensor) -> Tensor:
    """Returns the right factor gate by gate, RTBgH, as C++ can read it."""
    by_gate = right if right.ndim == 5 else right[:, :, :, None]
    return by_gate if by_gate.stride(4) == 1 else by_gate.contiguous()


def _set_factors(product: structs.Product, left: Tensor, right: Tensor) -> None:
    if left.is_floating_point():
        product.input = Input.VECTORS
    else:
        product.input = Input.SYMBOLS_8 if left.dtype == torch.int8 else Input.SYMBOLS_64
    product.gates, product.H = right.shape[3:]
    product.left = left.data_ptr()
    product.left_next, product.left_step, product.left_row = left.stride()[:3]
    product.right = right.data_ptr()
    product.right_next, product.right_step, product.right_row, product.right_gate = right.stride()[:4]
