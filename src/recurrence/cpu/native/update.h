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

// One of the tiles of a replica, which are as even as may be.
Tile tile_of(const Call& c, Index r, Index number, Index tiles) {
    const Index first = number * c.B / tiles;
    return {c, r, first, (number + 1) * c.B / tiles - first};
}

// Calls each(replica, number of a tile). Jobs are taken from the end, where the longest replicas are.
template <class Each>
void over_tiles(const Call& c, Index tiles, const Each& each) {
    std::vector<Index> order(c.R);
    for (Index r = 0; r < c.R; r++) order[r] = r;
    std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return c.length[a] < c.length[b]; });
    auto work = [&](Index job) { each(order[job / tiles], job % tiles); };
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
    const Index tiles = tiles_forward(c);
    over_tiles(c, tiles, [&](Index r, Index number) {
        Scratch& scratch = Scratch::fresh();
        const Tile tile = tile_of(c, r, number, tiles);
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

// What the tiles of some replicas add up on the way back.
class Parts {
  public:
    explicit Parts(const Call& c)
        : tiles(tiles_back(c)), R(c.R), size(Room(c).size()), memory(memory_of_parts(R * tiles * size)),
          sums(R * c.B), apart(R * tiles), vanished(R), left(R) {}

    // Before an update of a replica.
    void begin(Index r) { left[r] = tiles; }

    // Makes one of its tiles. Returns whether it was the last one, and with it the update's gradients are complete.
    bool make(const Call& c, Index r, Index number) {
        make_tile(c, r, number, vanished[r].load(std::memory_order_relaxed));
        if (left[r].fetch_sub(1, std::memory_order_acq_rel) > 1) return false;
        const bool is_apart = agree(c, r);
        add_up(c, r, tiles, is_apart, part(r, 0), &sums[r * c.B], Scratch::fresh());
        return true;
    }

    const Index tiles;

  private:
    float* part(Index r, Index number) const { return memory + (r * tiles + number) * size; }

    // Makes a tile, with Ω's part of dW apart if it is to be or must be.
    void make_tile(const Call& c, Index r, Index number, bool to_be_apart) {
        const Tile tile = tile_of(c, r, number, tiles);
        Sums* const own = &sums[r * c.B + tile.first];
        Scratch& scratch = Scratch::fresh();
        const History past = tile.history(scratch, true);
        if (c.loss != NONE) forward(tile, past, scratch);
        const auto back = [&](bool is_apart) {
            std::memset(part(r, number), 0, size * sizeof(float));
            std::fill(own, own + tile.rows, Sums{});
            apart[r * tiles + number] = is_apart;
            return Backward(tile, past, part(r, number), own, is_apart, scratch).run();
        };
        if (!to_be_apart && back(false)) return;
        vanished[r].store(true, std::memory_order_relaxed);
        back(true);
    }

    // Tiles keep Ω's part of dW apart if some pair of their replica does not count, else none does: so that no bit depends
    // on how they were begun. Returns which.
    bool agree(const Call& c, Index r) {
        const bool wanted = needs_pairs(c, r) && pairs(c, r) < c.B * c.length[r];
        for (Index number = 0; number < tiles; number++)
            if (apart[r * tiles + number] != wanted) make_tile(c, r, number, wanted);
        vanished[r].store(wanted, std::memory_order_relaxed);
        return wanted;
    }

    Index pairs(const Call& c, Index r) const {
        Index all = 0;
        for (Index b = 0; b < c.B; b++) all += sums[r * c.B + b].pairs;
        return all;
    }

    const Index R, size;
    float* const memory;                      // of the parts
    std::vector<Sums> sums;                   // of the sequences
    std::vector<char> apart;                  // of the tiles: whether they keep Ω's part of dW apart
    std::vector<std::atomic<bool>> vanished;  // of replicas: whether a pair did not count, in this update or the last
    std::vector<std::atomic<Index>> left;     // tiles of each replica that are not done
};

// Returns whether all symbols and classes are known.
bool run_backward(const Call& c) {
    std::atomic<bool> all_known{true};
    Parts parts(c);
    for (Index r = 0; r < c.R; r++) parts.begin(r);
    over_tiles(c, parts.tiles, [&](Index r, Index number) {
        if (known(tile_of(c, r, number, parts.tiles)))
            parts.make(c, r, number);
        else
            all_known = false;
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
