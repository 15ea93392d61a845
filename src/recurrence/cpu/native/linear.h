// A layer without a recurrence.

#pragma once

#include <algorithm>

#include "products.h"
#include "scratch.h"
#include "threads.h"

namespace {

constexpr Index LINEAR_ROWS = 48;  // taken at a time: x, y and their derivatives stay near

constexpr Index PART_ROWS = 42 * LINEAR_ROWS;  // of a part, whose sums are added up by themselves

Index parts_of(const Linear& c) { return (c.N + PART_ROWS - 1) / PART_ROWS; }

// Calls each(replica, part, first row, rows) for the parts of the rows of every replica. All but the last are of one size,
// so that rows of zeros at the end, padding, change no sum.
template <class Each>
void over_rows(const Linear& c, const Each& each) {
    const Index parts = parts_of(c);
    auto work = [&](Index job) {
        const Index part = job % parts, first = part * PART_ROWS;
        each(job / parts, part, first, std::min(PART_ROWS, c.N - first));
    };
    Pool::get().run(c.threads, c.R * parts, work);
}

// f(first, size) for rows [first, first + rows) in blocks of LINEAR_ROWS.
template <class F>
void in_blocks(Index first, Index rows, const F& f) {
    for (Index at = first; at < first + rows; at += LINEAR_ROWS) f(at, std::min(LINEAR_ROWS, first + rows - at));
}

}  // namespace
