// Matrix products, in blocks of sums that fit the registers.
//
// Every sum runs over its terms in their order, whatever the block. So no bit depends on how a matrix is cut.

#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "scratch.h"
#include "vectors.h"

namespace {

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

// -- a matrix times a packed one

// The columns of a matrix: `gates` times H of them, padded gate by gate to P.
struct Columns {
    Index gates, H, P;
    Index plain() const { return gates * H; }
    Index width() const { return gates * P; }
};

// One row, padded.
void pad_row(const float* from, const Columns& columns, float* to) {
    for (Index g = 0; g < columns.gates; g++) {
        float* gate = to + g * columns.P;
        std::memcpy(gate, from + g * columns.H, columns.H * sizeof(float));
        std::memset(gate + columns.H, 0, (columns.P - columns.H) * sizeof(float));
    }
}

// Some rows without their padding.
void unpad_rows(const float* from, Index rows, const Columns& columns, float* to) {
    for (Index gate = 0; gate < rows * columns.gates; gate++)
        std::memcpy(to + gate * columns.H, from + gate * columns.P, columns.H * sizeof(float));
}

// A right factor of K rows, cut into panels of columns that fit the registers; within a panel row by row. A panel of n
// vectors starts at vector K * (vectors before it).
struct Packed {
    Index K, vectors, panels;
    float* numbers;

    Packed(Index K, Index columns, Scratch& scratch)
        : K(K),
          vectors(columns / LANES),
          panels((vectors + BLOCK_VECTORS - 1) / BLOCK_VECTORS),
          numbers(scratch.take(K * columns)) {}

    Index first(Index panel) const { return panel * vectors / panels; }  // its first vector: as even as may be

    // Of M, K rows side by side.
    void pack(const float* M, const Columns& columns) {
        std::memset(numbers, 0, K * vectors * LANES * sizeof(float));
        for (Index p = 0; p < panels; p++)
            for (Index g = 0; g < columns.gates; g++) pack_gate(M, columns, p, g);
    }

    // Of the transpose of M, N rows of K numbers.
    void pack_transposed(const float* M, Index N) {
        std::memset(numbers, 0, K * vectors * LANES * sizeof(float));
        for (Index p = 0; p < panels; p++) {
            const Index at = first(p) * LANES;
            const Index n = first(p + 1) * LANES - at;
            for (Index j = at; j < std::min(at + n, N); j++)
                for (Index k = 0; k < K; k++) numbers[K * at + k * n + j - at] = M[j * K + k];
        }
    }

  private:
    // The columns of one gate that lie in one panel.
    void pack_gate(const float* M, const Columns& columns, Index p, Index g) {
        const Index at = first(p) * LANES;
        const Index n = first(p + 1) * LANES - at;
        const Index low = std::max(at, g * columns.P);
        const Index high = std::min(at + n, g * columns.P + columns.H);
        if (low >= high) return;
        const float* from = M + g * columns.H + low - g * columns.P;
        for (Index k = 0; k < K; k++)
            std::memcpy(numbers + K * at + k * n + low - at, from + k * columns.plain(), (high - low) * sizeof(float));
    }
};

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
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) total[m][n] = add ? load(C + m * C_row + n * LANES) : Vector{};
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
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) store(C + m * C_row + n * LANES, total[m][n]);
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

// -- sums of outer products

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
    Vector total[M][N] = {};
    sum_outer(steps, rows, left, right, total);
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) {
            float* to = C + m * C_row + n * LANES;
            store(to, load(to) + total[m][n]);
        }
}

// C (K rows of some vectors) += Σ leftᵀ right over `steps` and `rows`. `half` leaves out the blocks left of the diagonal.
void add_outer(Index steps, Index rows, const Factor& left, const Factor& right, float* C, Index K, Index vectors,
               bool half = false) {
    const Index C_row = vectors * LANES;
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
