// Ω of the pairs of step and sequence: see omega.py.

#pragma once

#include <cmath>

#include "tile.h"

namespace {

// Of one sequence: its loss, and the pairs of Ω so far, with 1 / N still to come.
struct Sums {
    double loss = 0;
    double excess = 0;
    Index pairs = 0;
};

// Adds one pair to Ω; returns its coefficient κ without the 1 / N of the squared form.
inline float add_pair(Form form, Index B, float d2, float v2, Sums& sum) {
    if (d2 < 1e-20f) return 0.f;  // a NaN counts, so that it shows
    sum.pairs++;
    if (form == SQUARED) {
        const float excess = v2 / d2 - 1.f;
        sum.excess += static_cast<double>(excess) * excess;
        return 4.f * excess / d2;
    }
    const float d = std::sqrt(d2);
    const float v = std::sqrt(v2);
    const float excess = v / d - 1.f;
    sum.excess += static_cast<double>(excess) * excess;
    return v > 0.f ? 2.f * excess / (static_cast<float>(B) * (v * d)) : 0.f;
}

// Sums of squares of each row of one or two states.
void squares(const Tile& tile, const float* one, const float* two, float* result) {
    const Sizes& z = tile.z;
    Mask inside;  // lanes of the last vector that hold units
    for (int lane = 0; lane < LANES; lane++) inside[lane] = lane < z.H - (z.P - LANES) ? -1 : 0;
    for (Index row = 0; row < tile.rows; row++) {
        Vector total{};
        for (const float* state : {one, two}) {
            if (!state) continue;
            for (Index j = 0; j < z.P; j += LANES) {
                Vector x = load(state + row * z.P + j);
                if (j == z.P - LANES) x = inside ? x : Vector{};
                total += x * x;
            }
        }
        result[row] = sum(total);
    }
}

// The rows κ x of one step.
void weigh_rows(const Tile& tile, const float* d2, const float* v2, const float* x, float* weighted, Sums* sums) {
    const Index P = tile.z.P;
    for (Index row = 0; row < tile.rows; row++) {
        const float kappa = add_pair(static_cast<Form>(tile.c.form[tile.r]), tile.c.B, d2[row], v2[row], sums[row]);
        const float* from = x + row * P;
        float* to = weighted + row * P;
        for (Index j = 0; j < P; j += LANES) store(to + j, kappa == 0.f ? Vector{} : kappa * load(from + j));
    }
}

}  // namespace
