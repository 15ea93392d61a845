// The way back of one tile.

#pragma once

#include <algorithm>
#include <optional>

#include "cells.h"
#include "direction.h"
#include "gradients.h"
#include "readout.h"

namespace {

constexpr Index SUM_ROWS = 128;  // about as many rows are summed before the sum is added to the others

// At each step d_t = dL/dh_t, complete; from it δ_t; and v_t = δ_t Wᵀ, which is d_{t-1} but for its direct parts. Each
// step adds to the tile's part of the gradients, and for each sequence to its sums.
//
// dW = Σ (h_{t-1} + ω κ_t v_t)ᵀ δ_t is one product if ω is known. In Ω's squared form it is α / N, and N, the pairs that
// count, is known at the end only. So it is taken for granted that all count. Where one does not, the way back ends in
// vain, and another one must keep both products `apart`.
class Backward {
  public:
    Backward(const Tile& tile, const History& past, float* part, Sums* sums, bool apart, Scratch& scratch)
        : tile(tile),
          c(tile.c),
          z(tile.z),
          past(past),
          room(c, z),
          part(part),
          sums(sums),
          chunk(std::max<Index>(1, SUM_ROWS / tile.rows)),
          with_omega(c.alpha && c.alpha[tile.r] != 0),
          with_norms(with_omega || c.d2),
          apart(apart),
          omega(with_omega ? omega_of(c, tile.r) : 0.f),
          W(z.G, z.whole, scratch),
          W_left(z.left, z.width, scratch),
          d(scratch.take(tile.rows * z.P)),
          dc(scratch.take(tile.rows * z.P)),
          delta(scratch.take(chunk * tile.rows * z.width)),
          weighted(scratch.take(chunk * tile.rows * z.P)),
          inputs(scratch.take(room.inputs)),
          kappa(scratch.take(tile.rows)),
          d2(scratch.take(tile.rows)),
          v2(scratch.take(tile.rows)) {
        const float* weights = c.W + tile.r * c.W_next;
        W.pack_transposed(weights, z.H);
        W_left.pack_transposed(weights, z.columns());
        tile.read_state(c.dh_last, d);
        if (c.lstm) tile.read_state(c.dc_last, dc);
        if (c.loss != NONE) out.emplace(tile, part, scratch);
        if (c.simplex) direction.emplace(tile, past, delta, *out, scratch);
    }

    // Returns whether all of it was made; if not, what it has added up is of no use.
    bool run() {
        const Index length = tile.length;
        if (out && !c.every) out->step(length - 1, past.h.at(length), d, sums);
        for (Index t = length; t-- > 0;) {
            float* const now = delta + held * tile.rows * z.width;
            complete(t);
            differentiate(t, now);
            fetch(t);
            send(now);
            if (with_omega && !weigh(t, now)) return false;
            hand_out(t, now);
            std::swap(d2, v2);  // without direct parts d_{t-1} is v_t
            collect(t);
        }
        finish();
        return true;
    }

  private:
    // The direct parts of d_t.
    inline void complete(Index t) {
        if (c.dh) add_direct(t);
        if (c.every) out->step(t, past.h.at(t + 1), d, sums);
        tile.hand_out(d, c.d, t, z.P);
        const bool changed = c.dh || c.every || t == tile.length - 1;
        if (with_norms && changed) squares(tile, d, dc_or_null(), d2);
    }

    void add_direct(Index t) {
        for (Index row = 0; row < tile.rows; row++) {
            const float* direct = c.dh + (tile.row(t) + row) * z.H;
            for (Index j = 0; j < z.H; j++) d[row * z.P + j] += direct[j];
        }
    }

    // δ_t, and dc of the step before.
    inline void differentiate(Index t, float* now) {
        if (c.lstm)
            pull_back_lstm(tile, d, dc, past.cell.at(t), past.cell.at(t + 1), past.gates.at(t), now);
        else
            pull_back(tile, d, past.h.at(t + 1), now);
    }

    // Brings rows of the step before near.
    inline void fetch(Index t) const {
        if (t == 0) return;
        if (c.lstm) {
            tile.fetch(past.gates.at(t - 1), z.width);
            tile.fetch(past.cell.at(t - 1), z.P);
        }
        tile.fetch(past.h.at(t - 1), z.P);
    }

    // d becomes v_t = δ_t Wᵀ.
    inline void send(const float* now) {
        multiply(tile.rows, {now, z.width, z.H, z.gates, z.P}, W, {}, d, z.P);
        multiply(tile.rows, now, z.width, W_left, {}, d, z.P, z.whole, [](Vector v) { return v; });
        if (with_norms) squares(tile, d, dc_or_null(), v2);
    }

    // The rows that Ω adds to the product, see add_to_W. Returns whether what was taken for granted holds.
    inline bool weigh(Index t, const float* now) {
        const bool all = weights(tile, d2, v2, kappa, sums);
        float* const rows = weighted + held * tile.rows * z.P;
        if (apart) {
            scale_rows(tile, kappa, c.lstm ? d : now, rows);
            return true;
        }
        add_rows(tile, past.h.at(t), omega, kappa, d, rows);
        return all || !needs_pairs(c, tile.r);
    }

    // What the call wants of this step.
    inline void hand_out(Index t, const float* now) const {
        tile.hand_out(now, c.delta, t, z.width);
        tile.hand_out(d, c.v, t, z.P);
        if (c.d2) {
            std::memcpy(c.d2 + tile.row(t), d2, tile.rows * sizeof(float));
            std::memcpy(c.v2 + tile.row(t), v2, tile.rows * sizeof(float));
        }
        if (c.dz) unpad_rows(now, tile.rows, z.columns(), c.dz + tile.row(t) * z.G);
    }

    // Gradients: of each step for the direction, else of a chunk of steps.
    inline void collect(Index t) {
        if (direction) {
            direction->add(t);
            return;
        }
        held++;
        if (held < chunk && t > 0) return;
        const Chunk steps = {held, t, delta, with_omega ? weighted : nullptr, apart};
        if (c.dW) add_to_W(tile, steps, past.h, part);
        if (c.dW && room.inputs) add_to_inputs(tile, steps, inputs, part + room.to_inputs());
        held = 0;
    }

    void finish() {
        if (direction) direction->finish();
        if (c.dh0) tile.write_state(d, c.dh0);
        if (c.dc0) tile.write_state(dc, c.dc0);
        if (c.pad) clear_padding();
    }

    void clear_padding() const {
        tile.clear(c.delta, c.T, z.width, tile.length);
        tile.clear(c.d, c.T, z.P, tile.length);
        tile.clear(c.v, c.T, z.P, tile.length);
        if (c.every) tile.clear(c.e, c.T, z.O, tile.length);
        for (Index t = tile.length; t < c.T; t++) {
            const Index at = tile.row(t);
            if (c.d2) {
                std::memset(c.d2 + at, 0, tile.rows * sizeof(float));
                std::memset(c.v2 + at, 0, tile.rows * sizeof(float));
            }
            if (c.dz) std::memset(c.dz + at * z.G, 0, tile.rows * z.G * sizeof(float));
        }
    }

    const float* dc_or_null() const { return c.lstm ? dc : nullptr; }

    const Tile& tile;
    const Call& c;
    const Sizes& z;
    const History& past;
    const Room room;
    float* const part;
    Sums* const sums;
    const Index chunk;  // steps
    const bool with_omega, with_norms, apart;
    const float omega;      // weight of κ v beside h; not if they are apart
    Packed W;               // its transpose
    Leftover W_left;
    float* const d;         // dL/dh, total
    float* const dc;        // dL/dc, likewise; LSTM only
    float* const delta;     // of the steps of a chunk, latest first
    float* const weighted;  // what Ω makes of them, likewise
    float* const inputs;    // sums of a chunk
    float* const kappa;     // of the rows of a step
    float *d2, *v2;         // squared norms
    Index held = 0;         // steps in the chunk
    std::optional<Readout> out;
    std::optional<Direction> direction;  // instead of chunks
};

}  // namespace
