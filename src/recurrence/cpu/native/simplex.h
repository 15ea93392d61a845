// The simplex direction, from the gradients of all steps: see temporal.py.

#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "steps.h"
#include "threads.h"

namespace {

// The sums of a replica's products to where its gradients lie.
void write(const Simplex& c, Index r, float scale, const float* from) {
    for (Index p = 0; p < c.products; p++) {
        const Product& product = c.product[p];
        const Index M = product.gates * product.H;
        for (Index line = 0; line < product.K + (product.bias != nullptr); line++) {
            float* to = line < product.K ? product.weight + r * product.weight_next + line * M
                                         : product.bias + r * product.bias_next;
            for (Index j = 0; j < M; j++) to[j] = scale * from[line * width_of(product) + j];
        }
        from += size_of(product);
    }
}

// The direction of one replica, or its gradient, from the sums of its parts, added from the last to the first.
void choose(const Simplex& c, Index r, Index parts, float* sums) {
    const Index size = size_of(c);
    float* const last = sums + (parts - 1) * 2 * size;
    for (Index part = parts - 1; part-- > 0;) add_to(last, sums + part * 2 * size, 2 * size);
    const float* plain = last;
    const float* weighted = last + size;
    double gg = 0;
    double ss = 0;
    double gs = 0;
    for (Index j = 0; j < size; j++) {
        const double g = plain[j];
        const double s = weighted[j];
        gg += g * g;
        ss += s * s;
        gs += g * s;
    }
    const bool taken = ss > 0 && !(std::sqrt(gg) > c.psi[r]) && !(c.descent && gs <= 0);  // NaN is not above 0
    if (taken)
        write(c, r, static_cast<float>(std::sqrt(gg) / std::sqrt(ss)), weighted);
    else
        write(c, r, 1.f, plain);
}

// Gradients replaced by the simplex direction, with its sign: what is subtracted from the parameters.
void make_direction(const Simplex& c) {
    const Index size = size_of(c);
    Index parts = 1;
    for (Index r = 0; r < c.R; r++) parts = std::max(parts, Steps::parts(c.length[r]));
    static thread_local std::vector<float> memory;
    float* const sums = at_least(memory, c.R * parts * 2 * size);
    std::vector<std::atomic<Index>> left(c.R);  // parts of each replica that are not done
    for (Index r = 0; r < c.R; r++) left[r] = Steps::parts(c.length[r]);
    auto work = [&](Index job) {
        const Index r = job / parts;
        const Index part = job % parts;
        const Index length = c.length[r];
        const Index count = Steps::count(length);
        if (part >= Steps::parts(length)) return;
        float* const own = sums + r * parts * 2 * size;
        Steps steps(c, r, own + part * 2 * size, Scratch::fresh());
        for (Index t = std::min((part + 1) * count, length); t-- > part * count;) steps.add(t);
        if (length == 0) steps.add(-1);
        if (left[r].fetch_sub(1, std::memory_order_acq_rel) == 1) choose(c, r, Steps::parts(length), own);
    };
    Pool::get().run(c.threads, c.R * parts, work);
}

}  // namespace
