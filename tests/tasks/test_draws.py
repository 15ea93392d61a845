"""Law 2: draws are functions of (seed, stream, index)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.draws import MAX_SEED, Stream, generator


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
