// Vectors of floats, as wide as the machine's registers.

#pragma once

#include <cstring>

#include "arguments.h"

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
