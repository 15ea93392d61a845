// Output, loss, and what they send back.

#pragma once

#include <cmath>

#include "functions.h"
#include "gradients.h"

namespace {

// Softmax of y, whose O numbers are padded to `width`, in place. Returns the loss: -log of the right one's share.
float cross_entropy(float* y, Index O, Index width, Index right) {
    for (Index o = O; o < width; o++) y[o] = -INFINITY;
    float most = y[0];
    for (Index o = 1; o < O; o++) most = y[o] > most ? y[o] : most;
    const float of_right = y[right] - most;
    Vector all{};
    for (Index o = 0; o < width; o += LANES) {
        const Vector share = exp_(load(y + o) - most);
        store(y + o, share);
        all += share;
    }
    const float total = sum(all);
    for (Index o = 0; o < width; o += LANES) store(y + o, load(y + o) / total);
    return std::log(total) - of_right;
}

// W_out of one replica, and where a tile adds up its gradient.
class Readout {
  public:
    Readout(const Tile& tile, float* part, Scratch& scratch)
        : tile(tile),
          c(tile.c),
          z(tile.z),
          there(z.H, z.O, scratch),
          back(c.O, z.P, scratch),
          b_out(c.b_out + tile.r * c.b_out_next),
          scratch_e(scratch.take(tile.rows * z.O)),
          total(part + Room(c, z).to_outputs()),
          bias(total + z.H * z.O) {
        const float* W_out = c.W_out + tile.r * c.W_out_next;
        there.pack(W_out, {1, c.O, z.O});
        back.pack_transposed(W_out, z.H);
    }

    // dL/d(output) of step t, rows of O, padded.
    float* e(Index t) const { return c.e ? tile.kept(c.e, c.every ? c.T : 1, z.O).at(c.every ? t : 0) : scratch_e; }

    // Output and loss after step t. What they send back is added to d.
    void step(Index t, const float* h, float* d, Sums* sums) const {
        float* const now = e(t);
        output(h, now);
        for (Index row = 0; row < tile.rows; row++) differentiate(t, row, now + row * z.O, sums[row]);
        if (c.dW && !c.simplex)
            add_outer(1, tile.rows, {h, 0, z.P}, {now, 0, z.O}, total, z.O, z.H, z.O / LANES);
        multiply(tile.rows, {now, z.O, c.O}, back, {d, z.P}, d, z.P);
    }

  private:
    void output(const float* h, float* y) const {
        for (Index row = 0; row < tile.rows; row++) {
            std::memcpy(y + row * z.O, b_out, c.O * sizeof(float));
            std::memset(y + row * z.O + c.O, 0, (z.O - c.O) * sizeof(float));
        }
        multiply(tile.rows, {h, z.P, z.H}, there, {y, z.O}, y, z.O);
    }

    // A row's output becomes the derivative of the loss by it.
    void differentiate(Index t, Index row, float* y, Sums& sums) const {
        if (c.loss == CROSS_ENTROPY) {
            const Index right = target_class(tile, t, row);
            sums.loss += cross_entropy(y, c.O, z.O, right);
            y[right] -= 1.f;
        } else {
            y[0] -= static_cast<const float*>(c.target)[target(tile, t, row)];
            sums.loss += y[0] * y[0];
            y[0] *= 2.f;
        }
        const float terms = static_cast<float>(c.B) * static_cast<float>(c.every ? tile.length : 1);
        for (Index o = 0; o < z.O; o += LANES) {
            const Vector error = load(y + o) / terms;
            store(y + o, error);
            store(bias + o, load(bias + o) + error);
        }
    }

    const Tile& tile;
    const Call& c;
    const Sizes& z;
    Packed there, back;  // W_out and its transpose
    const float* const b_out;
    float* const scratch_e;
    float* const total;  // dW_out
    float* const bias;   // db_out
};

}  // namespace
