// Output, loss, and what they send back.

#pragma once

#include <cmath>

#include "gradients.h"
#include "omega.h"

namespace {

// W_out of one replica, and where a tile adds up its gradient.
struct Readout {
    Panels columns, units;
    const float* b_out;
    float *there, *back;     // W_out and its transpose, in panels
    float* e;                // the output, then the derivative of the loss by it: rows of O, padded
    float *total, *bias;     // dW_out, db_out

    Readout(const Tile& tile, float* part, Scratch& scratch)
        : columns(tile.z.O / LANES), units(tile.z.P / LANES), b_out(tile.c.b_out + tile.r * tile.c.b_out_next) {
        const Sizes& z = tile.z;
        const Room room(tile.c, z);
        const float* W_out = tile.c.W_out + tile.r * tile.c.W_out_next;
        there = scratch.take(z.H * z.O), back = scratch.take(tile.c.O * z.P), e = scratch.take(tile.rows * z.O);
        total = part + room.size() - room.outputs, bias = total + z.H * z.O;
        pack(W_out, z.H, 1, tile.c.O, z.O, columns, there);
        pack_transposed(W_out, tile.c.O, z.H, units, back);
    }
};

// Softmax of `padded` numbers, of which O count, in place; returns the loss, -log of the right one's share.
float cross_entropy(float* y, Index O, Index padded, Index right) {
    for (Index o = O; o < padded; o++) y[o] = -INFINITY;
    float most = y[0];
    for (Index o = 1; o < O; o++) most = y[o] > most ? y[o] : most;
    const float of_right = y[right] - most;
    Vector all{};
    for (Index o = 0; o < padded; o += LANES) {
        const Vector share = exp_(load(y + o) - most);
        store(y + o, share);
        all += share;
    }
    const float total = sum(all);
    for (Index o = 0; o < padded; o += LANES) store(y + o, load(y + o) / total);
    return std::log(total) - of_right;
}

// Output and loss after step t, and what they send back: added to d.
void Tile::readout(const Readout& out, Index t, const float* h, float* d, Sums* sums) const {
    const float terms = static_cast<float>(c.B) * static_cast<float>(c.every ? length : 1);
    float* e = c.e ? kept(c.e, c.every ? c.T : 1, z.O).at(c.every ? t : 0) : out.e;
    for (Index row = 0; row < rows; row++) std::memcpy(e + row * z.O, out.b_out, c.O * sizeof(float));
    for (Index row = 0; row < rows; row++) std::memset(e + row * z.O + c.O, 0, (z.O - c.O) * sizeof(float));
    multiply(rows, h, z.P, 1, z.H, 0, out.there, out.columns, e, z.O, true);
    for (Index row = 0; row < rows; row++) {
        float* y = e + row * z.O;
        if (c.loss == CROSS_ENTROPY) {
            const Index right = static_cast<const Index*>(c.target)[target(t, row)];
            sums[row].loss += cross_entropy(y, c.O, z.O, right);
            y[right] -= 1.f;
        } else {
            y[0] -= static_cast<const float*>(c.target)[target(t, row)];
            sums[row].loss += y[0] * y[0];
            y[0] *= 2.f;
        }
        for (Index o = 0; o < z.O; o += LANES) {
            const Vector error = load(y + o) / terms;
            store(y + o, error), store(out.bias + o, load(out.bias + o) + error);
        }
    }
    for (Index p = 0; c.dW && !c.simplex && p < out.columns.count; p++)
        evenly(z.H, BLOCK_ROWS, [&](Index unit, Index m) {
            const Index at = out.columns.first(p) * LANES;
            dispatch<BLOCK_ROWS, BLOCK_VECTORS>(m, out.columns.first(p + 1) - out.columns.first(p), [&](auto M, auto N) {
                outer<M, N>(1, rows, h + unit, 0, z.P, e + at, 0, z.O, out.total + unit * z.O + at, z.O);
            });
        });
    multiply(rows, e, z.O, 1, c.O, 0, out.back, out.units, d, z.P, true);
}

}  // namespace
