// Where a tile adds up its gradients.

#pragma once

#include "tile.h"

namespace {

constexpr Index SUM_ROWS = 64;  // about as many rows are summed before the sum is added to the others

// What one tile adds up, one after the other: dW; its part by Ω; dW_in and db; dW_out and db_out.
struct Room {
    Index W, omega, inputs, outputs;
    Room(const Call& c, const Sizes& z)
        : W(z.H * z.width),
          omega(c.alpha ? W : 0),
          inputs(c.input == DENSE ? 0 : (c.I + 1) * z.width),
          outputs(c.loss == NONE ? 0 : (z.H + 1) * z.O) {}
    Index size() const { return W + omega + inputs + outputs; }
};

Index tiles_back(const Call& c) {  // by the number of sequences alone
    if (c.simplex) return 1;
    return std::min<Index>(8, (c.B + 2 * BLOCK_ROWS - 1) / (2 * BLOCK_ROWS));
}

}  // namespace
