"""Draws that are made at once are NumPy's own, to the last bit."""

import numpy as np
import pytest

from tasks.draws import Stream, generator, symbols


def drawn(source, *args):
    """The numbers, and what the generator draws afterwards."""
    return source(*args), args[0].integers(0, 1000, size=9)


def by_numpy(draws, low, high, size):
    return draws.integers(low, high, size=size, dtype=np.int8)


@pytest.mark.parametrize("size", [(100, 320), (8,), (7, 3), (1, 1), (3, 5, 8)])
@pytest.mark.parametrize(("low", "high"), [(2, 6), (0, 2), (0, 128), (64, 128), (5, 6), (2, 100), (-2, 2)])
def test_symbols_are_the_integers_of_numpy(low, high, size):
    for before in (0, 1):  # after an odd number of draws of 32 bits half a word waits
        made = []
        for source in (symbols, by_numpy):
            draws = generator(7, Stream.DATA, 3)
            draws.integers(0, 2, size=before, dtype=np.int32)
            made.append(drawn(source, draws, low, high, size))
        for ours, theirs in zip(*made, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert made[0][0].dtype == np.int8 and made[0][0].shape == size


def test_other_generators_are_asked_for_integers():
    ours, theirs = (np.random.Generator(np.random.MT19937(5)) for _ in range(2))
    np.testing.assert_array_equal(symbols(ours, 2, 6, (8, 8)), by_numpy(theirs, 2, 6, (8, 8)))
