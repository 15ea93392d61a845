// Work divided over replicas and tiles.

#pragma once

#include <algorithm>
#include <vector>

#include "call.h"
#include "threads.h"

namespace {

// Calls each(replica, tile, first sequence, rows) for tiles as even as may be. Jobs are taken from the end, where the
// longest replicas are.
template <class Each>
void over_tiles(const Call& c, Index tiles, const Each& each) {
    std::vector<Index> order(c.R);
    for (Index r = 0; r < c.R; r++) order[r] = r;
    std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return c.length[a] < c.length[b]; });
    auto work = [&](Index job) {
        const Index tile = job % tiles, first = tile * c.B / tiles;
        each(order[job / tiles], tile, first, (tile + 1) * c.B / tiles - first);
    };
    Pool::get().run(c.threads, c.R * tiles, work);
}

constexpr Index TILE_ROWS = 64;  // forward: more sequences do not share a nearer cache

}  // namespace
