// Matrix products in blocks that fit the registers.

#pragma once

#include <algorithm>
#include <type_traits>

#include "call.h"
#include "vectors.h"

namespace {

// A matrix of K rows and some vectors of columns, cut into panels of columns that fit the registers; within a panel
// row by row. Panel p of n vectors starts at vector K * (vectors before it).
struct Panels {
    Index vectors, count;
    explicit Panels(Index vectors) : vectors(vectors), count((vectors + BLOCK_VECTORS - 1) / BLOCK_VECTORS) {}
    Index first(Index panel) const { return panel * vectors / count; }  // as even as may be
};

// C (M rows of N vectors) = or += A (M x K, in `segments` pieces of `length` columns) times a panel.
template <int M, int N>
void block(const float* A, Index lda, Index segments, Index length, Index segment, const float* panel, float* C,
           Index ldc, bool add) {
    Vector total[M][N];
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) total[m][n] = add ? load(C + m * ldc + n * LANES) : Vector{};
    for (Index s = 0; s < segments; s++)
        for (Index k = 0; k < length; k++, panel += N * LANES) {
            Vector b[N];
            for (int n = 0; n < N; n++) b[n] = load(panel + n * LANES);
            for (int m = 0; m < M; m++) {
                const float a = A[m * lda + s * segment + k];
                for (int n = 0; n < N; n++) total[m][n] += a * b[n];
            }
        }
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) store(C + m * ldc + n * LANES, total[m][n]);
}

// M (K rows of gates * H columns) in panels, its columns padded gate by gate; P: H, padded.
void pack(const float* M, Index K, Index gates, Index H, Index P, const Panels& panels, float* packed) {
    std::memset(packed, 0, K * panels.vectors * LANES * sizeof(float));
    for (Index p = 0; p < panels.count; p++) {
        const Index at = panels.first(p) * LANES, n = panels.first(p + 1) * LANES - at;
        for (Index g = 0; g < gates; g++) {
            const Index low = std::max(at, g * P), high = std::min(at + n, g * P + H);
            for (Index k = 0; low < high && k < K; k++)
                std::memcpy(packed + K * at + k * n + low - at, M + (k * gates + g) * H + low - g * P,
                            (high - low) * sizeof(float));
        }
    }
}

// The transpose of M (N x K) in panels.
void pack_transposed(const float* M, Index K, Index N, const Panels& panels, float* packed) {
    std::memset(packed, 0, K * panels.vectors * LANES * sizeof(float));
    for (Index p = 0; p < panels.count; p++) {
        const Index at = panels.first(p) * LANES, n = panels.first(p + 1) * LANES - at;
        for (Index j = at; j < std::min(at + n, N); j++)
            for (Index k = 0; k < K; k++) packed[K * at + k * n + j - at] = M[j * K + k];
    }
}

// C (M rows of N vectors) += the sum over `steps` and `rows` of left[m] times right, both of which move on from row to
// row and from step to step.
template <int M, int N>
void outer(Index steps, Index rows, const float* left, Index left_step, Index left_row, const float* right,
           Index right_step, Index right_row, float* C, Index ldc) {
    Vector total[M][N] = {};
    for (Index step = 0; step < steps; step++, left += left_step, right += right_step) {
        const float *l = left, *r = right;
        for (Index row = 0; row < rows; row++, l += left_row, r += right_row) {
            Vector b[N];
            for (int n = 0; n < N; n++) b[n] = load(r + n * LANES);
            for (int m = 0; m < M; m++)
                for (int n = 0; n < N; n++) total[m][n] += l[m] * b[n];
        }
    }
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) store(C + m * ldc + n * LANES, load(C + m * ldc + n * LANES) + total[m][n]);
}

// Calls f<M, N> with M of 1 .. BLOCK_ROWS and N of 1 .. BLOCK_VECTORS, both chosen at run time.
template <int M, int N, class F>
inline void dispatch(Index m, Index n, const F& f) {
    if constexpr (M > 1) {
        if (m < M) return dispatch<M - 1, N>(m, n, f);
    }
    if constexpr (N > 1) {
        if (n < N) return dispatch<M, N - 1>(m, n, f);
    }
    f(std::integral_constant<int, M>{}, std::integral_constant<int, N>{});
}

// f(first, size) for `total` things in blocks of at most `most`, as even as may be.
template <class F>
inline void evenly(Index total, Index most, const F& f) {
    const Index count = (total + most - 1) / most;
    for (Index i = 0; i < count; i++) {
        const Index first = i * total / count;
        f(first, (i + 1) * total / count - first);
    }
}

// C (rows x panels) = or += A times packed.
void multiply(Index rows, const float* A, Index lda, Index segments, Index length, Index segment, const float* packed,
              const Panels& panels, float* C, Index ldc, bool add) {
    const Index K = segments * length;
    for (Index p = 0; p < panels.count; p++) {
        const Index at = panels.first(p), n = panels.first(p + 1) - at;
        evenly(rows, BLOCK_ROWS, [&](Index row, Index m) {
            dispatch<BLOCK_ROWS, BLOCK_VECTORS>(m, n, [&](auto M, auto N) {
                block<M, N>(A + row * lda, lda, segments, length, segment, packed + K * at * LANES,
                            C + row * ldc + at * LANES, ldc, add);
            });
        });
    }
}

}  // namespace
