// Sums of outer products, which make gradients.

#pragma once

#include "blocks.h"

namespace {

// Rows of a factor: their distances from step to step and from row to row.
struct Factor {
    const float* at;
    Index step, row;
};

// The sum over `steps` and `rows` of left[m] times right, for M columns of left and N vectors of right.
template <int M, int N>
inline void sum_outer(Index steps, Index rows, Factor left, Factor right, Vector (&total)[M][N]) {
    for (Index step = 0; step < steps; step++) {
        const float* l = left.at;
        const float* r = right.at;
        for (Index row = 0; row < rows; row++) {
            Vector b[N];
            for (int n = 0; n < N; n++) b[n] = load(r + n * LANES);
            for (int m = 0; m < M; m++)
                for (int n = 0; n < N; n++) total[m][n] += l[m] * b[n];
            l += left.row;
            r += right.row;
        }
        left.at += left.step;
        right.at += right.step;
    }
}

template <int M, int N>
void outer(Index steps, Index rows, const Factor left, const Factor right, float* C, Index C_row) {
    Vector total[M][N];
    UNROLL
    for (int m = 0; m < M; m++)
        UNROLL
        for (int n = 0; n < N; n++) total[m][n] = Vector{};
    sum_outer(steps, rows, left, right, total);
    UNROLL
    for (int m = 0; m < M; m++)
        UNROLL
        for (int n = 0; n < N; n++) {
            float* to = C + m * C_row + n * LANES;
            store(to, load(to) + total[m][n]);
        }
}

// C (K rows of some vectors) += Σ leftᵀ right over `steps` and `rows`. `half` leaves out the blocks left of the diagonal.
void add_outer(Index steps, Index rows, const Factor& left, const Factor& right, float* C, Index C_row, Index K,
               Index vectors, bool half = false) {
    evenly(K, BLOCK_ROWS, [&](Index unit, Index m) {
        const Index begin = half ? unit / LANES : 0;
        const Factor own_left = {left.at + unit, left.step, left.row};
        evenly(vectors - begin, BLOCK_VECTORS, [&](Index vector, Index n) {
            const Index at = (begin + vector) * LANES;
            const Factor own_right = {right.at + at, right.step, right.row};
            dispatch<BLOCK_ROWS, BLOCK_VECTORS>(m, n, [&](auto M, auto N) {
                outer<M, N>(steps, rows, own_left, own_right, C + unit * C_row + at, C_row);
            });
        });
    });
}

}  // namespace
