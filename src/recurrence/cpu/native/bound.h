// What no product can be faster than: multiply-adds in registers that do not wait for each other.

#pragma once

#include <atomic>

#include "threads.h"
#include "vectors.h"

namespace {

constexpr int SUMS = 12;  // two units, four cycles each, and some to spare

typedef float Half __attribute__((vector_size(sizeof(Vector) / 2)));

template <class Numbers>
float chains(Index rounds) {
    Numbers total[SUMS];
    for (int i = 0; i < SUMS; i++) total[i] = Numbers{} + static_cast<float>(i);
    const Numbers factor = Numbers{} + .999999f;
    const Numbers term = Numbers{} + 1e-6f;
    for (Index round = 0; round < rounds; round++) {
        UNROLL
        for (int i = 0; i < SUMS; i++) total[i] = total[i] * factor + term;
    }
    Numbers all{};
    for (int i = 0; i < SUMS; i++) all += total[i];
    return all[0];
}

// Multiply-adds on all threads, with vectors of so many lanes. Returns how many; 0 where there are no such vectors.
Index multiply_adds_of(Index threads, Index lanes, Index rounds) {
    static std::atomic<float> seen;  // so that the sums are needed
    if (lanes != LANES && lanes != LANES / 2) return 0;
    auto work = [&](Index) { seen = lanes == LANES ? chains<Vector>(rounds) : chains<Half>(rounds); };
    Pool::get().run(threads, threads, work);
    return threads * rounds * SUMS * lanes;
}

}  // namespace
