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

// What a product is added to, row by row: rows one after the other, rows that lie anywhere, or nothing.
struct Start {
    const float* at = nullptr;
    Index row = 0;  // from one row to the next
    const float* const* rows = nullptr;

    explicit operator bool() const { return at || rows; }
    const float* of(Index i) const { return rows ? rows[i] : at + i * row; }
};

// A block of a product: so many rows from `first` on, vectors from column `at` on.
struct Place {
    Index first, at;
};

// C (M rows of N vectors) = start + M rows of left, one piece of each, times as many lines of a panel.
template <int M, int N>
void block(const float* left, Index row, Index length, const float* panel, const Start& start, const Place& place,
           float* C, Index C_row) {
    Vector total[M][N];
    UNROLL
    for (int m = 0; m < M; m++)
        UNROLL
        for (int n = 0; n < N; n++)
            total[m][n] = start ? load(start.of(place.first + m) + place.at + n * LANES) : Vector{};
    for (Index k = 0; k < length; k++) {
        Vector b[N];
        for (int n = 0; n < N; n++) b[n] = load(panel + n * LANES);
        for (int m = 0; m < M; m++) {
            const float a = left[m * row + k];
            for (int n = 0; n < N; n++) total[m][n] += a * b[n];
        }
        panel += N * LANES;
    }
    C += place.first * C_row + place.at;
    UNROLL
    for (int m = 0; m < M; m++)
        UNROLL
        for (int n = 0; n < N; n++) store(C + m * C_row + n * LANES, total[m][n]);
}

// C = start + left times a packed matrix.
void multiply(Index rows, const Left& left, const Packed& right, const Start& start, float* C, Index C_row) {
    for (Index p = 0; p < right.panels; p++) {
        const Index at = right.first(p);
        const Index n = right.first(p + 1) - at;
        const float* panel = right.numbers + right.K * at * LANES;
        const Index piece = left.length * n * LANES;
        evenly(rows, BLOCK_ROWS, [&](Index first, Index m) {
            const float* from = left.at + first * left.row;
            const Place place = {first, at * LANES};
            dispatch<BLOCK_ROWS, BLOCK_VECTORS>(m, n, [&](auto M, auto N) {
                block<M, N>(from, left.row, left.length, panel, start, place, C, C_row);
                for (Index s = 1; s < left.segments; s++)
                    block<M, N>(from + s * left.segment, left.row, left.length, panel + s * piece, {C, C_row}, place,
                                C, C_row);
            });
        });
    }
}

}  // namespace
