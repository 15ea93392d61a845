"""Products over many rows, in parts as a GPU makes them."""

import pytest
import torch

from src.linalg import PRODUCTS, in_parts


@pytest.mark.parametrize(("replicas", "rows"), [(1, 2000), (3, 7 * 20), (PRODUCTS, 40), (2, 997), (2, 0)])
@pytest.mark.parametrize("given", [False, True])
def test_a_product_in_parts_is_the_whole_one(replicas, rows, given):
    """Written into memory with gaps; a prime number of rows, which cannot be cut; none at all."""
    torch.manual_seed(0)
    left, right = (torch.randn(replicas, rows, size, dtype=torch.float64) for size in (5, 4))
    memory = torch.full((replicas, 31), torch.nan, dtype=torch.float64)
    into = memory[:, 3:23].view(replicas, 5, 4) if given else None
    found = in_parts(left, right, into)
    torch.testing.assert_close(found, torch.einsum("rnk,rnm->rkm", left, right))
    assert not given or (torch.equal(memory[:, 3:23], found.flatten(1)) and memory[:, 23:].isnan().all())
