// Padded rows, and matrices packed as right factors of products.

#pragma once

#include <algorithm>
#include <cstring>

#include "blocks.h"
#include "scratch.h"

namespace {

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
            const Index end = std::min(at + n, N);
            for (Index k = 0; k < K; k++)  // side by side where it is written
                for (Index j = at; j < end; j++) numbers[K * at + k * n + j - at] = M[j * K + k];
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

}  // namespace
