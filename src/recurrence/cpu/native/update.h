// Whole calls: work divided over replicas and tiles of their sequences.

#pragma once

#include <algorithm>
#include <atomic>
#include <vector>

#include "backward.h"
#include "forward.h"
#include "threads.h"

namespace {

constexpr Index TILE_ROWS = 64;  // forward: more sequences do not share a nearer cache

// Calls each(replica, tile, first sequence, rows) for tiles as even as may be. Jobs are taken from the end, where the
// longest replicas are.
template <class Each>
void over_tiles(const Call& c, Index tiles, const Each& each) {
    std::vector<Index> order(c.R);
    for (Index r = 0; r < c.R; r++) order[r] = r;
    std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return c.length[a] < c.length[b]; });
    auto work = [&](Index job) {
        const Index tile = job % tiles;
        const Index first = tile * c.B / tiles;
        each(order[job / tiles], tile, first, (tile + 1) * c.B / tiles - first);
    };
    Pool::get().run(c.threads, c.R * tiles, work);
}

Index tiles_forward(const Call& c) {
    const Index blocks = (c.B + BLOCK_ROWS - 1) / BLOCK_ROWS;
    return std::max(parts(c.R, blocks, c.threads), (c.B + TILE_ROWS - 1) / TILE_ROWS);
}

// By the number of sequences alone, since each tile's gradients are a sum by themselves.
Index tiles_back(const Call& c) {
    if (c.simplex) return 1;
    return std::min<Index>(8, (c.B + 2 * BLOCK_ROWS - 1) / (2 * BLOCK_ROWS));
}

// Returns whether all symbols are known.
bool run_forward(const Call& c) {
    std::atomic<bool> all_known{true};
    over_tiles(c, tiles_forward(c), [&](Index r, Index, Index first, Index rows) {
        Scratch& scratch = Scratch::fresh();
        const Tile tile(c, r, first, rows);
        if (known(tile))
            forward(tile, tile.history(scratch, false), scratch);
        else
            all_known = false;
    });
    return all_known;
}

// Memory of the calling thread for what each tile adds up.
float* memory_of_parts(Index size) {
    static thread_local std::vector<float> memory;
    return at_least(memory, size);
}

// Returns whether all symbols and classes are known.
bool run_backward(const Call& c) {
    std::atomic<bool> all_known{true};
    const Index tiles = tiles_back(c);
    const Index size = Room(c).size();
    float* const all_parts = memory_of_parts(c.R * tiles * size);
    std::vector<Sums> all_sums(c.R * c.B);
    std::vector<std::atomic<Index>> left(c.R);  // tiles of each replica that are not done
    for (auto& of_replica : left) of_replica = tiles;
    over_tiles(c, tiles, [&](Index r, Index number, Index first, Index rows) {
        Scratch& scratch = Scratch::fresh();
        const Tile tile(c, r, first, rows);
        if (!known(tile)) {
            all_known = false;
            return;
        }
        const History past = tile.history(scratch, true);
        float* const parts = all_parts + r * tiles * size;
        float* const part = parts + number * size;
        Sums* const sums = all_sums.data() + r * c.B;
        std::memset(part, 0, size * sizeof(float));
        if (c.loss != NONE) forward(tile, past, scratch);
        Backward(tile, past, part, sums + first, scratch).run();
        if (left[r].fetch_sub(1, std::memory_order_acq_rel) == 1) add_up(c, r, tiles, parts, sums, scratch);
    });
    return all_known;
}

// Where the factors of an update lie while all of them are kept.
struct Kept {
    Index outputs;  // rows of e of a replica
    float *h, *delta, *e, *h_last;

    Kept(const Call& c, const Sizes& z) : outputs(c.every ? c.T * c.B : c.B) {
        static thread_local std::vector<float> memory[4];
        h = at_least(memory[0], c.R * (c.T + 1) * c.B * z.P);
        delta = at_least(memory[1], c.R * c.T * c.B * z.width);
        e = at_least(memory[2], c.R * outputs * z.O);
        h_last = c.h_last ? c.h_last : at_least(memory[3], c.R * c.B * z.H);
    }
};

// A whole update with the simplex direction where there are more threads than replicas, so that tiles of one replica go
// back side by side: first all factors, then the steps' gradients, which need those of all tiles.
bool run_direction_apart(const Call& c) {
    const Sizes z(c);
    const Kept kept(c, z);
    Call factors = c;
    factors.simplex = nullptr;
    factors.dW = nullptr;
    factors.h = kept.h;
    factors.delta = kept.delta;
    factors.e = kept.e;
    factors.h_last = kept.h_last;
    if (!run_backward(factors)) return false;

    Products products(c);
    const Index h_next = (c.T + 1) * c.B * z.P;
    const Index h_step = c.B * z.P;
    products.set_delta(kept.delta, c.T * c.B * z.width, c.B * z.width);
    products.W.left = kept.h;
    products.W.left_next = h_next;
    products.W.left_step = h_step;
    Product& W_out = products.W_out;
    W_out.right = kept.e;
    W_out.right_next = kept.outputs * z.O;
    if (c.every) {
        W_out.left = kept.h + h_step;
        W_out.left_next = h_next;
        W_out.left_step = h_step;
        W_out.right_step = c.B * z.O;
    } else {
        W_out.left = kept.h_last;
        W_out.left_next = c.B * z.H;
        W_out.left_row = z.H;
    }
    make_direction(products.call);
    return true;
}

}  // namespace
