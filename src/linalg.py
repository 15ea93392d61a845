"""Linear algebra whose bits depend on neither threads, nor neighbours, nor padding."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor


@contextmanager
def one_thread() -> Iterator[None]:
    """Runs its body on one thread: LAPACK's eigenvalues differ in the last bits between thread counts (law 1)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def spectral_radius(W_HH: Tensor) -> float:
    """Largest absolute eigenvalue of a square matrix, in float64; NaN where an entry is not finite."""
    if not W_HH.isfinite().all():
        return float("nan")
    with one_thread():
        return float(torch.linalg.eigvals(W_HH.detach().cpu().double()).abs().max())


def singular_value(M_XX: Tensor) -> Tensor:
    """Largest singular value of each matrix; NaN where an entry is not finite."""
    finite = M_XX.isfinite().all(-1).all(-1)
    usable = torch.where(finite[..., None, None], M_XX, 0.0)
    with one_thread():
        return torch.where(finite, torch.linalg.matrix_norm(usable, ord=2), torch.nan)


def orthogonal(G_HH: Tensor) -> Tensor:
    """The orthogonal factor of a square matrix, G = Q R with a positive diagonal of R.

    Of normal draws it is uniform over all orthogonal matrices (Mezzadri, 2007).
    """
    with one_thread():
        Q_HH, R_HH = torch.linalg.qr(G_HH)
    return Q_HH * R_HH.diagonal().sign()


def works_ahead(tensor: Tensor) -> bool:
    """Whether it lies on a device that works while the host goes on, so that a number of it would be waited for."""
    return tensor.device.type != "cpu"


def known(condition: Tensor) -> bool | None:
    """Whether it holds; None where that would have to be waited for."""
    return None if works_ahead(condition) else bool(condition)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on its way to a device; nobody waits for it to arrive."""
    if device.type == "cpu":
        return tensor
    return (tensor.pin_memory() if torch.cuda.is_available() else tensor).to(device, non_blocking=True)


def matmul(left_RNK: Tensor, right_RKM: Tensor) -> Tensor:
    """left right for every replica, RNM. A single one is computed as one of two.

    torch hands a batch of one to another routine than a batch of several, which rounds differently and, for few rows,
    by the number of threads.
    """
    if len(left_RNK) > 1 or left_RNK.device.type != "cpu":
        return torch.bmm(left_RNK, right_RKM)
    return torch.bmm(left_RNK.expand(2, -1, -1), right_RKM.expand(2, -1, -1))[:1]


PRODUCTS = 264
"""Products that keep a GPU busy, two for each of its processors (H100, H200)."""


def in_parts(left_RNK: Tensor, right_RNM: Tensor, into_RKM: Tensor | None = None) -> Tensor:
    """Σ over n of left ᵀ right, RKM. Where there are few replicas the rows are cut into parts of one size, whose
    products are added: a GPU gives a product to one of its processors, or a few, however many rows it has.

    Args:
        into_RKM: overwritten; None: new memory.
    """
    R, N, K = left_RNK.shape
    parts = _parts(N, max(1, PRODUCTS // max(1, R)))
    if parts == 1:
        return torch.bmm(left_RNK.transpose(1, 2), right_RNM, out=into_RKM)
    M = right_RNM.shape[2]
    left = left_RNK.reshape(R * parts, N // parts, K)
    right = right_RNM.reshape(R * parts, N // parts, M)
    products = torch.bmm(left.transpose(1, 2), right)
    return torch.sum(products.view(R, parts, K, M), 1, out=into_RKM)


@cache
def _parts(rows: int, wanted: int) -> int:
    """Parts of one size that so many rows can be cut into, at most as many as are wanted."""
    return max(part for part in range(1, wanted + 1) if rows % part == 0)


ROWS = 256
"""Rows that one matrix product sums over, about."""


def product(left_RTBK: Tensor, right_RTBM: Tensor) -> Tensor:
    """Σ over (t, sequence) of left ᵀ right, RKM, in blocks of steps of one size and in one order.

    Replicas are padded to the longest among them; the last bits of a product over all rows at once would depend on that
    padding, hence on the neighbours (law 1). With the last block filled up by zeros they do not. On other devices than
    the CPU, where that is not promised, see :func:`in_parts`.
    """
    if left_RTBK.device.type != "cpu":
        return in_parts(left_RTBK.flatten(1, 2), right_RTBM.flatten(1, 2))
    R, T, B, K = left_RTBK.shape
    steps = max(1, ROWS // B)
    total = left_RTBK.new_zeros(R, K, right_RTBM.shape[-1])
    for t in range(0, T, steps):
        fill = (0, 0, 0, 0, 0, max(0, t + steps - T))
        left, right = (F.pad(x[:, t : t + steps], fill).flatten(1, 2) for x in (left_RTBK, right_RTBM))
        total += matmul(left.transpose(1, 2), right)
    return total
