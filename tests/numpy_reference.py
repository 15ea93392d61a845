"""Forward, BPTT and Ω in float64 NumPy, written from the papers' formulas and independent of src/.

One network; row vectors; B sequences as rows. Parameters: W_in, W, b, W_out, b_out. The loss sits on the last step or,
with target_TB, is the mean of the losses of all steps.
"""

import numpy as np


def logistic(x):
    return 1 / (1 + np.exp(-x))


def cross_entropy(output, target):
    """Batch mean, and its derivative by the output."""
    p = np.exp(output - output.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    rows = np.arange(len(target))
    onehot = np.zeros_like(p)
    onehot[rows, target] = 1
    return -np.log(p[rows, target]).mean(), (p - onehot) / len(target)


def squared_error(output, target):
    difference = output[:, 0] - target
    return (difference**2).mean(), (2 * difference / len(target))[:, None]


def lstm_step(a, c):
    i, f, g, o = np.split(a, 4, axis=1)
    i, f, g, o = logistic(i), logistic(f), np.tanh(g), logistic(o)
    c = f * c + i * g
    return o * np.tanh(c), c, (i, f, g, o)


def run(kind, p, x_TBI, target, loss_function):
    """Loss, gradients of it by name, and per step h_before, delta, d, v (LSTM: d and v hold both parts, h then c).

    kind: tanh, sigmoid or lstm.
    """
    T, B, _ = x_TBI.shape
    H = p["W"].shape[0]
    h, c = np.zeros((B, H)), np.zeros((B, H))
    trace = []
    for t in range(T):
        a = x_TBI[t] @ p["W_in"] + h @ p["W"] + p["b"]
        if kind == "lstm":
            new, c_new, gates = lstm_step(a, c)
            trace.append((h, c, new, c_new, gates))
            h, c = new, c_new
        else:
            new = np.tanh(a) if kind == "tanh" else logistic(a)
            trace.append((h, None, new, None, None))
            h = new
    grads = {name: np.zeros_like(value) for name, value in p.items()}
    direct, loss = np.zeros((T, B, H)), 0.0
    for t in range(T) if target.ndim == 2 else [T - 1]:
        output = trace[t][2] @ p["W_out"] + p["b_out"]
        at_t, e = loss_function(output, target[t] if target.ndim == 2 else target)
        share = 1 / T if target.ndim == 2 else 1
        loss += share * at_t
        grads["W_out"] += share * trace[t][2].T @ e
        grads["b_out"] += share * e.sum(0)
        direct[t] = share * e @ p["W_out"].T
    d, dc = np.zeros((B, H)), np.zeros((B, H))
    out = {"h_before": [None] * T, "delta": [None] * T, "d": [None] * T, "v": [None] * T}
    for t in reversed(range(T)):
        before, c_before, after, c_after, gates = trace[t]
        d = d + direct[t]
        if kind == "lstm":
            i, f, g, o = gates
            out["d"][t] = np.concatenate([d, dc], 1)
            through = d * o * (1 - np.tanh(c_after) ** 2) + dc
            delta = np.concatenate(
                [
                    through * g * i * (1 - i),
                    through * c_before * f * (1 - f),
                    through * i * (1 - g**2),
                    d * np.tanh(c_after) * o * (1 - o),
                ],
                1,
            )
            d, dc = delta @ p["W"].T, through * f
            out["v"][t] = np.concatenate([d, dc], 1)
        else:
            out["d"][t] = d
            delta = d * (1 - after**2 if kind == "tanh" else after * (1 - after))
            d = delta @ p["W"].T
            out["v"][t] = d
        out["h_before"][t], out["delta"][t] = before, delta
        grads["W"] += before.T @ delta
        grads["W_in"] += x_TBI[t].T @ delta
        grads["b"] += delta.sum(0)
    return {"loss": loss, "output": output, "grads": grads, **{k: np.stack(v) for k, v in out.items()}}


def omega_value(d, v, form):
    """Ω, pair by pair, as the text says."""
    terms = []
    for t in range(d.shape[0]):
        for b in range(d.shape[1]):
            d2, v2 = (d[t, b] ** 2).sum(), (v[t, b] ** 2).sum()
            if d2 >= 1e-20:
                q = v2 / d2
                terms.append((q - 1) ** 2 if form == "squared" else (np.sqrt(q) - 1) ** 2)
    if not terms:
        return 0.0
    return sum(terms) / (len(terms) if form == "squared" else d.shape[1])


def omega_gradient(W, d, delta, v, form):
    """∂⁺Ω/∂W = Σ κ vᵀδ, pair by pair; for LSTM only the part of v that contains W, δ Wᵀ, is multiplied."""
    H = W.shape[0]
    pairs = [(t, b) for t in range(d.shape[0]) for b in range(d.shape[1]) if (d[t, b] ** 2).sum() >= 1e-20]
    gradient = np.zeros_like(W)
    for t, b in pairs:
        d2, v2 = (d[t, b] ** 2).sum(), (v[t, b] ** 2).sum()
        if form == "squared":
            kappa = 4 * (v2 / d2 - 1) / (len(pairs) * d2)
        else:
            kappa = 0.0 if v2 == 0 else 2 * (np.sqrt(v2 / d2) - 1) / (d.shape[1] * np.sqrt(v2 * d2))
        gradient += kappa * np.outer(v[t, b, :H], delta[t, b])
    return gradient


def omega_of_W(W, d, delta, v, form):
    """Ω as a function of the explicit W in v = δ Wᵀ alone; everything else frozen."""
    H = W.shape[0]
    return omega_value(d, np.concatenate([delta @ W.T, v[..., H:]], -1), form)


def finite_differences(f, x, step=1e-6):
    """Central differences of a scalar function of an array."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (f(up) - f(down)) / (2 * step)
    return gradient
