// Work cut into blocks whose sums fit the registers.
//
// Every sum runs over its terms in their order, whatever the block. So no bit depends on how a matrix is cut.

#pragma once

#include <type_traits>

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

}  // namespace
