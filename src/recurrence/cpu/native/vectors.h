// Vectors of floats, as wide as the machine's registers.

#pragma once

#include <cstring>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "arguments.h"

#define ALWAYS_INLINE __attribute__((always_inline)) inline
#define UNROLL _Pragma("GCC unroll 16")  // early, so that sums stay in registers

#if defined(__AVX512F__)
constexpr int LANES = 16, BLOCK_ROWS = 6, BLOCK_VECTORS = 4;  // 20 of 32 registers hold sums
#elif defined(__AVX__)
constexpr int LANES = 8, BLOCK_ROWS = 4, BLOCK_VECTORS = 3;  // 12 of 16
#else
constexpr int LANES = 4, BLOCK_ROWS = 5, BLOCK_VECTORS = 4;  // NEON: 20 of 32
#endif

typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t Mask __attribute__((vector_size(LANES * sizeof(float))));

namespace {

inline Vector load(const float* p) {
    Vector x;
    std::memcpy(&x, p, sizeof x);
    return x;
}

inline void store(float* p, Vector x) { std::memcpy(p, &x, sizeof x); }

// x, no further from 0 than `end`. NaN stays.
ALWAYS_INLINE Vector clamp(Vector x, float end) {
    const Vector most = Vector{} + end;
#if defined(__AVX512F__)
    return _mm512_max_ps(-most, _mm512_min_ps(most, x));  // of two of which one is NaN these are the second
#else
    x = x > most ? most : x;
    return x < -most ? -most : x;
#endif
}

// x / y of numbers that are neither very large nor very small.
ALWAYS_INLINE Vector quotient(Vector x, Vector y) {
#if defined(__AVX512F__)
    const Vector inverse = _mm512_rcp14_ps(y);  // division takes longer than all the rest of tanh
    const Vector near = x * inverse;
    return near + inverse * (x - near * y);
#else
    return x / y;
#endif
}

template <int N>
inline float sum_lanes(const float* p) {  // halves upon halves
    typedef float Half __attribute__((vector_size(N / 2 * sizeof(float))));
    Half low, high;
    std::memcpy(&low, p, sizeof low);
    std::memcpy(&high, p + N / 2, sizeof high);
    low += high;
    float half[N / 2];
    std::memcpy(half, &low, sizeof low);
    return sum_lanes<N / 2>(half);
}

template <>
inline float sum_lanes<2>(const float* p) { return p[0] + p[1]; }

inline float sum(Vector x) {
    float lanes[LANES];
    store(lanes, x);
    return sum_lanes<LANES>(lanes);
}

// n, rounded up to whole vectors.
constexpr Index padded(Index n) { return (n + LANES - 1) / LANES * LANES; }

// to += from, of whole vectors.
inline void add_to(float* to, const float* from, Index size) {
    for (Index j = 0; j < size; j += LANES) store(to + j, load(to + j) + load(from + j));
}

// to += factor * from, likewise.
inline void add_to(float* to, float factor, const float* from, Index size) {
    for (Index j = 0; j < size; j += LANES) store(to + j, load(to + j) + factor * load(from + j));
}

}  // namespace
