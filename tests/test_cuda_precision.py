"""What tensor cores round, simulated in NumPy over 1 000 steps: forward, gradients and Ω, beside float32's rounding.

A TF32 number has 11 significant bits. tf32x3, as Triton makes it, cuts each factor of a product into a high part,
rounded to TF32, and a low one, what is left, rounded again; it adds low·high, high·low and high·high in float32.
"""

import numpy as np
import pytest

from tests import numpy_reference as ref

H = 50
B = 8
T = 1000
INPUTS = 4


def to_tf32(x):
    """The nearest TF32 number, 10 bits behind the point; ties go away from zero, as cvt.rna does."""
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


def tf32(left, right):
    """One product of rounded factors, added in float32."""
    return to_tf32(left) @ to_tf32(right)


def tf32x3(left, right):
    """Three products."""
    left_high = to_tf32(left)
    right_high = to_tf32(right)
    left_low = to_tf32(left - left_high)
    right_low = to_tf32(right - right_high)
    return (left_low @ right_high + left_high @ right_low) + left_high @ right_high


def passes(multiply, dtype, p, x, error):
    """Forward and back through all steps of a tanh network, products by ``multiply`` where the kernels make them.

    The products over all steps are ordinary ones of the precision, as torch.bmm's are.
    """
    p = {name: value.astype(dtype) for name, value in p.items()}
    z = x.astype(dtype) @ p["W_in"]
    h = [np.zeros((B, H), dtype)]
    for t in range(len(x)):
        h.append(np.tanh(multiply(h[-1], p["W"]) + z[t]))
    d = error.astype(dtype)
    delta, d2, v2 = [], [], []
    for t in reversed(range(len(x))):
        delta.append(d * (1 - h[t + 1] ** 2))
        v = multiply(delta[-1], p["W"].T.copy())
        d2.append((d * d).sum(1))
        v2.append((v * v).sum(1))
        d = v
    delta, d2, v2 = (np.stack(own[::-1]) for own in (delta, d2, v2))
    counts = d2 >= 1e-20
    safe = np.where(counts, d2, 1)
    q = np.where(counts, v2, 1) / safe
    kappa = np.where(counts, 4 * (q - 1) / (counts.sum() * safe), 0).astype(dtype)
    before = np.stack(h[:-1]).reshape(-1, H)
    rows = delta.reshape(-1, H)
    return {
        "h": np.stack(h[1:]),
        "delta": delta,
        "dW": before.T @ rows,
        "omega": np.where(counts, (q - 1) ** 2, 0).sum() / counts.sum(),
        "domega": p["W"] @ ((kappa.reshape(-1, 1) * rows).T @ rows),
    }


def network(radius, seed=0):
    """A network whose W has this spectral radius, inputs for it, and what flows back into the last state."""
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(H, H))
    W *= radius / np.abs(np.linalg.eigvals(W)).max()
    p = {"W": W, "W_in": rng.normal(0, 0.05, (INPUTS, H))}
    p = {name: value.astype(np.float32).astype(np.float64) for name, value in p.items()}
    x = np.eye(INPUTS)[rng.integers(0, INPUTS, (T, B))]
    error = rng.normal(0, 0.1, (B, H)).astype(np.float32).astype(np.float64)
    return p, x, error


def apart(found, exact):
    """The largest difference of each number or array, relative to its largest entry."""
    return {name: float(np.abs(found[name] - exact[name]).max() / np.abs(exact[name]).max()) for name in exact}


def errors(radius, dtype=np.float32):
    p, x, error = network(radius)
    exact = passes(np.matmul, np.float64, p, x, error)
    ways = {"float32": np.matmul, "tf32x3": tf32x3, "tf32": tf32}
    return {name: apart(passes(multiply, dtype, p, x, error), exact) for name, multiply in ways.items()}


def test_one_product_is_as_exact_as_the_bits_say():
    rng = np.random.default_rng(1)
    left, right = (rng.normal(size=shape).astype(np.float32) for shape in ((32, 64), (64, 64)))
    exact = left.astype(np.float64) @ right.astype(np.float64)
    scale = np.abs(left).astype(np.float64) @ np.abs(right)
    worst = {way.__name__: float((np.abs(way(left, right) - exact) / scale).max()) for way in (tf32, tf32x3)}
    assert worst["tf32x3"] < 2.0**-21
    assert 2.0**-14 < worst["tf32"] < 2.0**-10
    assert to_tf32(np.float32([1 + 2**-11, -1 - 2**-11, 1 + 2**-12, 3])).tolist() == [1 + 2**-10, -1 - 2**-10, 1, 3]


@pytest.mark.parametrize("radius", [0.95, 1.0, 1.1])
def test_a_thousand_steps_are_as_exact_as_in_float32(radius):
    """tf32x3 within a small factor of float32; TF32 alone is hundreds of times worse: what the option costs."""
    found = errors(radius)
    for name, own in found["tf32x3"].items():
        assert own <= 6 * found["float32"][name] + 2e-6, (name, own, found["float32"][name])
        assert found["tf32"][name] > 20 * own, (name, own, found["tf32"][name])


def test_the_simulation_is_the_published_recursion():
    """In float64 it equals the independent reference, Ω and its gradient too."""
    p, x, error = network(1.0)
    steps = 40
    full = p | {"b": np.zeros(H), "W_out": np.eye(H), "b_out": np.zeros(H)}

    def loss(output, target):
        return float((output * error).sum()), error

    mine = passes(np.matmul, np.float64, p, x[:steps], error)
    theirs = ref.run("tanh", full, x[:steps], np.zeros(B), loss)
    np.testing.assert_allclose(mine["dW"], theirs["grads"]["W"], rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(mine["omega"], ref.omega_value(theirs["d"], theirs["v"], "squared"), rtol=1e-9)
    gradient = ref.omega_gradient(p["W"], theirs["d"], theirs["delta"], theirs["v"], "squared")
    np.testing.assert_allclose(mine["domega"], gradient, rtol=1e-8, atol=1e-12)


if __name__ == "__main__":
    for radius in (0.95, 1.0, 1.1):
        for way, own in errors(radius).items():
            print(f"| {radius} | {way} | " + " | ".join(f"{value:.1e}" for value in own.values()) + " |")
