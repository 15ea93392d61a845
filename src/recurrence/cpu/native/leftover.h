// The columns of a product that are left over after whole vectors, where they are few.
//
// A vector for them would hold little but padding. Each is a sum along the rows instead, in the lanes of a vector.

#pragma once

#include <utility>

#include "products.h"

namespace {

constexpr Index MOST_LEFT = LANES / 4;

// So many of H columns are left over.
inline Index left_over(Index H) {
    const Index rest = H % LANES;
    return H > 2 * LANES && rest <= MOST_LEFT ? rest : 0;
}

// Lane i of the result is lane Lane(i) of a or, from LANES on, of b.
template <class Lane, size_t... I>
ALWAYS_INLINE Vector shuffle(Vector a, Vector b, std::index_sequence<I...>) {
#if defined(__clang__)
    return __builtin_shufflevector(a, b, Lane::of(I)...);
#else
    return __builtin_shuffle(a, b, Mask{Lane::of(I)...});
#endif
}

template <class Lane>
ALWAYS_INLINE Vector shuffle(Vector a, Vector b) {
    return shuffle<Lane>(a, b, std::make_index_sequence<LANES>{});
}

// Lanes whose number has the bit S come from b, the others from a.
template <int S>
struct Own {
    static constexpr int of(int i) { return i & S ? LANES + i : i; }
};

template <int S>
struct Other {
    static constexpr int of(int i) { return i & S ? LANES + i - S : i + S; }
};

// Lane i is the sum of all lanes of total[i], for i < N.
template <int N, int S = 1>
ALWAYS_INLINE Vector sums(Vector* total) {
    if constexpr (S == LANES) return total[0];
    else {
        UNROLL
        for (int i = 0; i < N; i += 2) {
            const Vector a = total[i];
            const Vector b = total[i + 1 < N ? i + 1 : i];
            total[i / 2] = shuffle<Own<S>>(a, b) + shuffle<Other<S>>(a, b);
        }
        return sums<(N + 1) / 2, 2 * S>(total);
    }
}

// The lanes of row m, then zeros.
template <int F, int M>
struct OfRow {
    static constexpr int of(int i) { return i < F ? M * F + i : LANES; }
};

// The leftover columns of a right factor, each as a row that is padded as the left factor's rows are.
struct Leftover {
    Index count, width;
    float* numbers;

    Leftover(Index count, Index width, Scratch& scratch)
        : count(count), width(width), numbers(scratch.take(count * width)) {}

    // The last of the columns of M, H rows.
    void pack(const float* M, const Columns& columns) {
        std::memset(numbers, 0, count * width * sizeof(float));
        for (Index f = 0; f < count; f++)
            for (Index k = 0; k < columns.H; k++) numbers[f * width + k] = M[(k + 1) * columns.H - count + f];
    }

    // The last of the rows of M, H of them.
    void pack_transposed(const float* M, const Columns& columns) {
        const float* last = M + (columns.H - count) * columns.plain();
        for (Index f = 0; f < count; f++) pad_row(last + f * columns.plain(), columns, numbers + f * width);
    }
};

template <int F, size_t... M>
ALWAYS_INLINE void spread(Vector all, float* C, Index C_row, std::index_sequence<M...>) {
    (store(C + Index(M) * C_row, shuffle<OfRow<F, M>>(all, Vector{})), ...);
}

template <int M, int F, class Then>
void leftover_block(const float* left, Index row, const Leftover& right, const Start& start, const Place& place,
                    float* C, Index C_row, const Then& then) {
    Vector total[M * F];
    UNROLL
    for (int m = 0; m < M; m++)
        UNROLL
        for (int f = 0; f < F; f++) {
            Vector first{};
            if (start) first[0] = start.of(place.first + m)[place.at + f];
            total[m * F + f] = first;
        }
    for (Index j = 0; j < right.width; j += LANES) {
        Vector b[F];
        for (int f = 0; f < F; f++) b[f] = load(right.numbers + f * right.width + j);
        for (int m = 0; m < M; m++) {
            const Vector a = load(left + (place.first + m) * row + j);
            for (int f = 0; f < F; f++) total[m * F + f] += a * b[f];
        }
    }
    C += place.first * C_row + place.at;
    spread<F>(then(sums<M * F>(total)), C, C_row, std::make_index_sequence<M>{});
}

// then(C = start + left times the leftover columns): in each row the vector at `column`, whose other lanes become 0.
template <class Then>
void multiply(Index rows, const float* left, Index row, const Leftover& right, const Start& start, float* C,
              Index C_row, Index column, const Then& then) {
    if (right.count == 0) return;
    evenly(rows, std::min<Index>(BLOCK_ROWS, LANES / right.count), [&](Index first, Index m) {
        dispatch<BLOCK_ROWS, MOST_LEFT>(m, right.count, [&](auto M, auto F) {
            if constexpr (M * F <= LANES)
                leftover_block<M, F>(left, row, right, start, {first, column}, C, C_row, then);
        });
    });
}

}  // namespace
