"""Linear algebra for starts and diagnostics."""

from contextlib import contextmanager
from typing import Iterator

import torch
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
