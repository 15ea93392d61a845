// A matrix times a packed one.

#pragma once

#include "packed.h"

namespace {

// The rows of a left factor. Each is in `segments` pieces of `length` numbers.
struct Left {
    const float* at;
    Index row;          // from one row to the next
    Index length;
    Index segments = 1;
    Index segment = 0;  // from one piece to the next
};

// C (M rows of N vectors) = or += M rows of left times a panel.
template <int M, int N>
void block(const Left left, const float* panel, float* C, Index C_row, bool add) {
    Vector total[M][N];
    UNROLL
    for (int m = 0; m < M; m++)
        UNROLL
        for (int n = 0; n < N; n++) total[m][n] = Vector{};
    for (Index s = 0; s < left.segments; s++)
        for (Index k = 0; k < left.length; k++) {
            Vector b[N];
            for (int n = 0; n < N; n++) b[n] = load(panel + n * LANES);
            for (int m = 0; m < M; m++) {
                const float a = left.at[m * left.row + s * left.segment + k];
                for (int n = 0; n < N; n++) total[m][n] += a * b[n];
            }
            panel += N * LANES;
        }
    UNROLL
    for (int m = 0; m < M; m++)
        UNROLL
        for (int n = 0; n < N; n++) {
            float* to = C + m * C_row + n * LANES;
            store(to, add ? load(to) + total[m][n] : total[m][n]);
        }
}

// C = or += left times a packed matrix.
void multiply(Index rows, const Left& left, const Packed& right, float* C, Index C_row, bool add) {
    for (Index p = 0; p < right.panels; p++) {
        const Index at = right.first(p);
        const Index n = right.first(p + 1) - at;
        const float* panel = right.numbers + right.K * at * LANES;
        evenly(rows, BLOCK_ROWS, [&](Index row, Index m) {
            Left some = left;
            some.at += row * left.row;
            dispatch<BLOCK_ROWS, BLOCK_VECTORS>(m, n, [&](auto M, auto N) {
                block<M, N>(some, panel, C + row * C_row + at * LANES, C_row, add);
            });
        });
    }
}

}  // namespace
