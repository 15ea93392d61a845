"""Law 2: draws are functions of (seed, stream, index)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.draws import MAX_SEED, Stream, generator, symbols


def words(*key, n=4096):
    return generator(*key).bit_generator.random_raw(n)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, MAX_SEED), st.sampled_from(Stream), st.integers(0, 2**40), st.integers(0, 2**20))
def test_same_key_same_numbers(seed, stream, index, part):
    assert np.array_equal(words(seed, stream, index, part, n=64), words(seed, stream, index, part, n=64))


def test_neighbours_do_not_overlap():
    """No 64-bit word comes twice among seeds, streams, indices and parts next to each other (by chance: 1 in 10⁹)."""
    keys = [(s, t, i, p) for s in range(8) for t in Stream for i in range(3) for p in range(2)]
    everything = np.concatenate([words(*key, n=1024) for key in keys])
    assert len(np.unique(everything)) == len(everything)


def test_equals_philox_as_published():
    """Known answers of Philox 4x64-10 for key and counter 0 (Random123, kat_vectors); NumPy counts from 1."""
    first = np.random.Philox(counter=[2**64 - 1] * 4, key=[0, 0]).random_raw(4)
    assert [hex(int(w)) for w in first] == [
        "0x16554d9eca36314c",
        "0xdb20fe9d672d0fdc",
        "0xd7e772cee186176b",
        "0x7e68b68aec7ba23b",
    ]


@pytest.mark.parametrize("key", [(-1, 0, 0), (2**63, 0, 0), (0, 0, -1), (0, 0, 0, -1)])
def test_bad_keys_are_refused(key):
    with pytest.raises(ValueError, match="must not be negative"):
        generator(*key)


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
