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

// C (M rows of N vectors) = or += M rows of left, one piece of each, times as many lines of a panel.
template <int M, int N>
void block(const float* left, Index row, Index length, const float* panel, float* C, Index C_row, bool add) {
    Vector total[M][N];
    UNROLL
    for (int m = 0; m < M; m++)
        UNROLL
        for (int n = 0; n < N; n++) total[m][n] = add ? load(C + m * C_row + n * LANES) : Vector{};
    for (Index k = 0; k < length; k++) {
        Vector b[N];
        for (int n = 0; n < N; n++) b[n] = load(panel + n * LANES);
        for (int m = 0; m < M; m++) {
            const float a = left[m * row + k];
            for (int n = 0; n < N; n++) total[m][n] += a * b[n];
        }
        panel += N * LANES;
    }
    UNROLL
    for (int m = 0; m < M; m++)
        UNROLL
        for (int n = 0; n < N; n++) store(C + m * C_row + n * LANES, total[m][n]);
}

// C = or += left times a packed matrix.
void multiply(Index rows, const Left& left, const Packed& right, float* C, Index C_row, bool add) {
    for (Index p = 0; p < right.panels; p++) {
        const Index at = right.first(p);
        const Index n = right.first(p + 1) - at;
        const float* panel = right.numbers + right.K * at * LANES;
        const Index piece = left.length * n * LANES;
        evenly(rows, BLOCK_ROWS, [&](Index first, Index m) {
            const float* from = left.at + first * left.row;
            float* to = C + first * C_row + at * LANES;
            dispatch<BLOCK_ROWS, BLOCK_VECTORS>(m, n, [&](auto M, auto N) {
                for (Index s = 0; s < left.segments; s++)
                    block<M, N>(from + s * left.segment, left.row, left.length, panel + s * piece, to, C_row, add || s > 0);
            });
        });
    }
}

}  // namespace
