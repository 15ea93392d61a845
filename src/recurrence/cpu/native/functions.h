// tanh, the logistic function and exponentials of vectors.

#pragma once

#include <cstring>

#include "vectors.h"

namespace {

// Minimax rational function of degree 9/8 on [-9.02, 9.02], beyond which tanh is 1 in float32: relative error 2e-8
// before rounding, 6 units in the last place after it.
ALWAYS_INLINE Vector tanh_(Vector x) {
    x = clamp(x, 9.02f);
    const Vector u = x * x;
    const Vector p = (((1.33186209e-8f * u + 2.05831475e-5f) * u + 3.49401403e-3f) * u + 0.133797005f) * u + 1.f;
    const Vector q = (((7.76183185e-7f * u + 3.28305934e-4f) * u + 2.58709956e-2f) * u + 0.467130154f) * u + 1.f;
    return clamp(quotient(x * p, q), 1.f);
}

ALWAYS_INLINE Vector sigmoid_(Vector x) { return 0.5f * tanh_(0.5f * x) + 0.5f; }

// e^x - 1 for x <= 0, by tanh: 2 t / (1 - t), t = tanh(x / 2).
inline Vector expm1_(Vector x) {
    const Vector t = tanh_(0.5f * x);
    return 2.f * t / (1.f - t);
}

// e^x for x <= 0, below -87 none: 2^n e^r with |r| <= ln 2 / 2, the latter by its series to degree 7. NaN stays.
inline Vector exp_(Vector x) {
    const float magic = 12582912.f;  // 1.5 * 2^23: what is added to it is rounded to a whole number, in its last bits
    const Vector shifted = x * 1.44269504f + magic;
    const Vector n = shifted - magic;
    const Vector r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    Vector y = ((1.98412698e-4f * r + 1.38888889e-3f) * r + 8.33333333e-3f) * r + 4.16666667e-2f;
    y = (((y * r + 0.166666667f) * r + 0.5f) * r + 1.f) * r + 1.f;
    Mask bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + (127 << 23);
    Vector scale;
    std::memcpy(&scale, &bits, sizeof scale);
    return x < -87.f ? Vector{} : y * scale;
}

}  // namespace
