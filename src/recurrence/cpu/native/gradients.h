// Gradients: what a tile adds up, chunk by chunk of its steps, and a replica's from those of its tiles.

#pragma once

#include <cmath>

#include "inputs.h"
#include "omega.h"
#include "outer.h"

namespace {

// What one tile adds up, one after the other: dW, its columns that are left over as rows; its part by Ω, likewise; dW_in
// and db; dW_out and db_out.
struct Room {
    Index W, omega, inputs, outputs;

    explicit Room(const Call& c) : Room(c, Sizes(c)) {}
    Room(const Call& c, const Sizes& z)
        : W(z.H * z.width + z.gates * z.left * z.P),
          omega(c.alpha ? W : 0),
          inputs(c.input == DENSE ? 0 : (c.I + 1) * z.width),
          outputs(c.loss == NONE ? 0 : (z.H + 1) * z.O) {}

    Index to_inputs() const { return W + omega; }
    Index to_outputs() const { return W + omega + inputs; }
    Index size() const { return W + omega + inputs + outputs; }
};

// Steps t + count - 1 down to t of a tile: δ, and by Ω h + ω κ v or, apart from h, κ δ or, for LSTM, κ v.
struct Chunk {
    Index count, t;
    const float* delta;     // rows of the steps, latest first
    const float* weighted;  // likewise; null where α is 0
    bool apart;
};

// Adds left, rows of P, times δ.
void add_product(const Tile& tile, Index steps, const Factor& left, const Factor& delta, float* part, bool half) {
    const Sizes& z = tile.z;
    if (z.left == 0) {
        add_outer(steps, tile.rows, left, delta, part, z.width, z.H, z.width / LANES, half);
        return;
    }
    for (Index g = 0; g < z.gates; g++) {
        const Factor gate = {delta.at + g * z.P, delta.step, delta.row};
        const Factor rest = {gate.at + z.whole, delta.step, delta.row};
        float* const rows = part + z.H * z.width + g * z.left * z.P;
        add_outer(steps, tile.rows, left, gate, part + g * z.P, z.width, z.H, z.whole / LANES, half);
        add_outer(steps, tile.rows, rest, left, rows, z.P, z.left, z.P / LANES);
    }
}

// Puts the columns that are left over where they belong.
void place_leftover(const Sizes& z, float* sums) {
    const float* rows = sums + z.H * z.width;
    for (Index g = 0; g < z.gates; g++)
        for (Index f = 0; f < z.left; f++, rows += z.P)
            for (Index k = 0; k < z.H; k++) sums[k * z.width + g * z.P + z.whole + f] = rows[k];
}

// dW += Σ (h_{t-1} + ω κ_t v_t)ᵀ δ_t. Apart, Σ h_{t-1}ᵀ δ_t and Σ κ_t v_tᵀ δ_t. Since v_t = δ_t Wᵀ, the latter is W S,
// S = Σ κ_t δ_tᵀ δ_t. S is symmetric, and half of it is cheaper than the whole product. LSTM has four times as many δ as
// units, and makes the product itself.
void add_to_W(const Tile& tile, const Chunk& chunk, const Track& h, float* part) {
    const Sizes& z = tile.z;
    const Factor before = {h.at(chunk.t + chunk.count - 1), -h.next, z.P};  // the state before the latest step
    const Factor delta = {chunk.delta, tile.rows * z.width, z.width};
    const Factor weighted = {chunk.weighted, tile.rows * z.P, z.P};
    const bool together = chunk.weighted && !chunk.apart;
    add_product(tile, chunk.count, together ? weighted : before, delta, part, false);
    if (chunk.weighted && chunk.apart)
        add_product(tile, chunk.count, weighted, delta, part + Room(tile.c, z).W, !tile.c.lstm);
}

// dW_in and db, which are summed in `own` first.
void add_to_inputs(const Tile& tile, const Chunk& chunk, float* own, float* part) {
    const Call& c = tile.c;
    const Index width = tile.z.width;
    const Index size = (c.I + 1) * width;
    std::memset(own, 0, size * sizeof(float));
    const float* delta = chunk.delta;
    for (Index step = chunk.t + chunk.count; step-- > chunk.t;)
        for (Index row = 0; row < tile.rows; row++) {
            if (c.input == VECTORS) {
                const float* x = vector(tile, step, row, c.I);
                for (Index k = 0; k < c.I; k++) add_to(own + k * width, x[k], delta, width);
                add_to(own + c.I * width, 1.f, delta, width);
            } else {
                add_to(own + symbol(tile, step, row) * width, 1.f, delta, width);
            }
            delta += width;
        }
    add_to(part, own, size);
}

// -- of one replica

// W S for a symmetric S of which what lies right of the diagonal is known: H rows of P.
float* times_symmetric(const float* W, float* S, const Sizes& z, Scratch& scratch) {
    for (Index k = 0; k < z.H; k++)
        for (Index j = 0; j < k; j++) S[k * z.P + j] = S[j * z.P + k];
    Packed packed(z.H, z.P, scratch);
    packed.pack(S, {1, z.P, z.P});
    float* result = scratch.take(z.H * z.P);
    multiply(z.H, {W, z.H, z.H}, packed, {}, result, z.P);
    return result;
}

Sums sum_up(const Call& c, const Sums* of_sequences) {
    Sums all;
    for (Index b = 0; b < c.B; b++) {
        all.loss += of_sequences[b].loss;
        all.excess += of_sequences[b].excess;
        all.pairs += of_sequences[b].pairs;
    }
    return all;
}

// Ω, and its part of dW if it was kept apart.
void add_omega(const Call& c, Index r, const Sums& all, bool apart, float* total, Scratch& scratch) {
    if (c.alpha[r] == 0) {
        c.omega[r] = NAN;
        return;
    }
    const Sizes z(c);
    const Index pairs = std::max<Index>(1, all.pairs);
    c.omega[r] = static_cast<float>(all.excess / static_cast<double>(c.form[r] == SQUARED ? pairs : c.B));
    if (!apart) return;
    float* by_omega = total + Room(c, z).W;
    if (!c.lstm) by_omega = times_symmetric(c.W + r * c.W_next, by_omega, z, scratch);
    add_to(total, c.alpha[r] / static_cast<float>(pairs), by_omega, z.H * z.width);
}

void hand_out(const Call& c, Index r, float* total) {
    const Sizes z(c);
    const Room room(c, z);
    unpad_rows(total, z.H, z.columns(), c.dW + r * c.dW_next);
    if (room.inputs) {
        float* inputs = total + room.to_inputs();
        float* bias = inputs + c.I * z.width;
        for (Index i = 0; symbolic(c) && i < c.I; i++)
            for (Index j = 0; j < z.width; j++) bias[j] += inputs[i * z.width + j];
        unpad_rows(inputs, c.I, z.columns(), c.dW_in + r * c.dW_in_next);
        unpad_rows(bias, 1, z.columns(), c.db + r * c.db_next);
    }
    if (room.outputs) {
        const Columns columns = {1, c.O, z.O};
        const float* outputs = total + room.to_outputs();
        unpad_rows(outputs, z.H, columns, c.dW_out + r * c.dW_out_next);
        unpad_rows(outputs + z.H * z.O, 1, columns, c.db_out + r * c.db_out_next);
    }
}

// Loss, Ω and gradients of one replica from the parts of its tiles, added in their order.
void add_up(const Call& c, Index r, Index tiles, bool apart, float* total, const Sums* of_sequences, Scratch& scratch) {
    const Index size = Room(c).size();
    for (Index tile = 1; tile < tiles; tile++) add_to(total, total + tile * size, size);
    const Sizes z(c);
    place_leftover(z, total);
    if (apart) place_leftover(z, total + Room(c, z).W);
    const Sums all = sum_up(c, of_sequences);
    const Index terms = c.B * (c.every ? std::max<Index>(1, c.length[r]) : 1);
    if (c.losses) c.losses[r] = static_cast<float>(all.loss / static_cast<double>(terms));
    if (c.alpha) add_omega(c, r, all, apart, total, scratch);
    if (c.dW && !c.simplex) hand_out(c, r, total);
}

}  // namespace
