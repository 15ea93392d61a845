// Ω of the pairs of step and sequence: see omega.py.

#pragma once

#include <algorithm>
#include <cmath>

#include "tile.h"

namespace {

// Of one sequence: its loss, and the pairs of Ω so far, with 1 / N still to come.
struct Sums {
    double loss = 0;
    double excess = 0;
    Index pairs = 0;
};

// Pairs with a smaller squared norm do not count.
constexpr float BOUND = 1e-20f;

// What Ω makes of the pairs of one step, a lane each. A NaN counts, so that it shows.
struct Pairs {
    Mask count;
    Vector excess, kappa;  // 0 where a pair does not count; κ without the 1 / N of the squared form
};

Vector root(Vector x) {
    for (int lane = 0; lane < LANES; lane++) x[lane] = std::sqrt(x[lane]);
    return x;
}

inline Pairs pairs_of(Form form, Index B, Vector d2, Vector v2) {
    const Mask count = ~(d2 < BOUND);
    d2 = count ? d2 : Vector{} + 1.f;
    Vector excess, kappa;
    if (form == SQUARED) {
        excess = v2 / d2 - 1.f;
        kappa = 4.f * excess / d2;
    } else {
        const Vector d = root(d2);
        const Vector v = root(v2);
        excess = v / d - 1.f;
        kappa = v > 0.f ? 2.f * excess / (static_cast<float>(B) * (v * d)) : Vector{};
    }
    return {count, count ? excess : Vector{}, count ? kappa : Vector{}};
}

// The squared norms of M rows of one or two states, a lane each.
template <int M>
Vector squared_norms(const Sizes& z, const float* one, const float* two, Mask inside) {
    Vector total[M] = {};
    for (const float* state : {one, two}) {
        if (!state) continue;
        for (Index j = 0; j < z.P; j += LANES)
            UNROLL
            for (int m = 0; m < M; m++) {
                Vector x = load(state + m * z.P + j);
                if (j == z.P - LANES) x = inside ? x : Vector{};
                total[m] += x * x;
            }
    }
    return sums<M>(total);
}

// f(first row, rows) for as many rows at a time as a vector has lanes.
template <class F>
void by_lanes(Index rows, const F& f) {
    for (Index row = 0; row < rows; row += LANES) f(row, std::min<Index>(LANES, rows - row));
}

// The squared norms of all rows of one or two states. Result has room for whole vectors.
void squares(const Tile& tile, const float* one, const float* two, float* result) {
    const Sizes& z = tile.z;
    Mask inside;  // lanes of the last vector that hold units
    for (int lane = 0; lane < LANES; lane++) inside[lane] = lane < z.H - (z.P - LANES) ? -1 : 0;
    by_lanes(tile.rows, [&](Index row, Index rows) {
        const Index at = row * z.P;
        dispatch<LANES, 1>(rows, 1, [&](auto M, auto) {
            store(result + row, squared_norms<M>(z, one + at, two ? two + at : nullptr, inside));
        });
    });
}

// Whether the gradient depends on how many pairs count.
inline bool needs_pairs(const Call& c, Index r) {
    return c.dW && !c.simplex && c.alpha && c.alpha[r] != 0 && c.form[r] == SQUARED;
}

// The weight of κ v beside h, if all pairs count.
inline float omega_of(const Call& c, Index r) {
    if (c.form[r] == PLAIN) return c.alpha[r];
    return c.alpha[r] / static_cast<float>(std::max<Index>(1, c.B * c.length[r]));
}

// κ of the pairs of one step, for each row; Ω's sums go on. Returns whether all pairs count.
bool weights(const Tile& tile, const float* d2, const float* v2, float* kappa, Sums* sums) {
    const auto form = static_cast<Form>(tile.c.form[tile.r]);
    bool all = true;
    by_lanes(tile.rows, [&](Index row, Index rows) {
        const Pairs pairs = pairs_of(form, tile.c.B, load(d2 + row), load(v2 + row));
        store(kappa + row, pairs.kappa);
        for (Index i = 0; i < rows; i++) {
            sums[row + i].excess += static_cast<double>(pairs.excess[i]) * pairs.excess[i];
            sums[row + i].pairs -= pairs.count[i];
            all = all && pairs.count[i];
        }
    });
    return all;
}

// The rows κ x of one step.
void scale_rows(const Tile& tile, const float* kappa, const float* x, float* to) {
    const Index P = tile.z.P;
    for (Index row = 0; row < tile.rows; row++)
        for (Index j = row * P; j < (row + 1) * P; j += LANES)
            store(to + j, kappa[row] == 0.f ? Vector{} : kappa[row] * load(x + j));
}

// The rows h + ω κ v of one step.
void add_rows(const Tile& tile, const float* h, float omega, const float* kappa, const float* v, float* to) {
    const Index P = tile.z.P;
    for (Index row = 0; row < tile.rows; row++) {
        const float weight = omega * kappa[row];
        for (Index j = row * P; j < (row + 1) * P; j += LANES)
            store(to + j, weight == 0.f ? load(h + j) : load(h + j) + weight * load(v + j));
    }
}

}  // namespace
