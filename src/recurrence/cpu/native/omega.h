// Sums of one sequence, and Ω.

#pragma once

#include <cmath>

#include "call.h"

namespace {

// Of one sequence: its loss, and the pairs of Ω so far, with 1 / N still to come.
struct Sums {
    double loss = 0, excess = 0;
    Index pairs = 0;
};

// Adds one pair to Ω; returns its coefficient κ without the 1 / N of the squared form. See omega.py.
inline float add_pair(Form form, Index B, float d2, float v2, Sums& sum) {
    if (d2 < 1e-20f) return 0.f;  // a NaN counts, so that it shows
    sum.pairs++;
    if (form == SQUARED) {
        const float excess = v2 / d2 - 1.f;
        sum.excess += static_cast<double>(excess) * excess;
        return 4.f * excess / d2;
    }
    const float d = std::sqrt(d2), v = std::sqrt(v2), excess = v / d - 1.f;
    sum.excess += static_cast<double>(excess) * excess;
    return v > 0.f ? 2.f * excess / (static_cast<float>(B) * (v * d)) : 0.f;
}

}  // namespace
