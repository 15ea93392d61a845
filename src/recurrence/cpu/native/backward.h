// The way back of one tile.

#pragma once

#include <optional>

#include "readout.h"
#include "steps.h"

namespace {

void Tile::backward(const History& past, float* part, Sums* sums, Scratch& scratch) const {
    const Track &h = past.h, &cell = past.cell, &gates = past.gates;
    const Panels panels(z.P / LANES);
    const Room room(c, z);
    const Index state_size = rows * z.P, chunk = std::max<Index>(1, SUM_ROWS / rows);  // steps
    const bool with_omega = c.alpha && c.alpha[r] != 0, norms = with_omega || c.d2;
    float* packed = scratch.take(z.G * z.P);
    float* d = scratch.take(state_size);
    float* dc = scratch.take(state_size);
    float* delta = scratch.take(chunk * rows * z.width);    // of the steps of a chunk, latest first
    float* weighted = scratch.take(chunk * state_size);     // κ δ, for LSTM κ v, likewise
    float* inputs = scratch.take(room.inputs);
    float* d2 = scratch.take(rows);
    float* v2 = scratch.take(rows);
    pack_transposed(c.W + r * c.W_next, z.G, z.H, panels, packed);
    read_state(c.dh_last, d);
    if (c.lstm) read_state(c.dc_last, dc);
    std::optional<Readout> out;
    if (c.loss != NONE) out.emplace(*this, part, scratch);
    Product product[3];
    std::optional<Simplex> all;
    std::optional<Steps> steps;  // instead of chunks
    float* direction = nullptr;
    if (c.simplex) {
        all = products(past, delta, *out, product);
        direction = scratch.take(4 * Steps::size(*all));
        steps.emplace(*all, r, direction + 2 * Steps::size(*all), scratch);
        std::memset(direction, 0, 2 * Steps::size(*all) * sizeof(float));
    }
    if (out && !c.every) readout(*out, length - 1, h.at(length), d, sums);
    const float* dc_now = c.lstm ? dc : nullptr;
    Index held = 0;  // steps in the chunk
    for (Index t = length; t-- > 0;) {
        const Index at = (r * c.T + t) * c.B + first;  // of the tile's first row in RTB
        float* delta_now = delta + held * rows * z.width;
        if (c.dh)
            for (Index row = 0; row < rows; row++)
                for (Index j = 0; j < z.H; j++) d[row * z.P + j] += c.dh[(at + row) * z.H + j];
        if (c.every) readout(*out, t, h.at(t + 1), d, sums);
        if (c.d) std::memcpy(kept(c.d, c.T, z.P).at(t), d, state_size * sizeof(float));
        if (norms && (c.dh || c.every || t == length - 1)) squares(d, dc_now, d2);
        if (c.lstm)
            pull_back_lstm(d, dc, cell.at(t), cell.at(t + 1), gates.at(t), delta_now);
        else
            pull_back(d, h.at(t + 1), delta_now);
        if (t > 0) {
            if (c.lstm) fetch(gates.at(t - 1), z.width), fetch(cell.at(t - 1), z.P);
            fetch(h.at(t - 1), z.P);
        }
        multiply(rows, delta_now, z.width, z.gates, z.H, z.P, packed, panels, d, z.P, false);
        if (norms) squares(d, dc_now, v2);
        if (with_omega)
            for (Index row = 0; row < rows; row++) {
                const float kappa = add_pair(static_cast<Form>(c.form), c.B, d2[row], v2[row], sums[row]);
                const float* factor = (c.lstm ? d : delta_now) + row * z.P;  // see add_products
                float* to = weighted + (held * rows + row) * z.P;
                for (Index j = 0; j < z.P; j += LANES) store(to + j, kappa == 0.f ? Vector{} : kappa * load(factor + j));
            }
        if (c.delta) std::memcpy(kept(c.delta, c.T, z.width).at(t), delta_now, rows * z.width * sizeof(float));
        if (c.v) std::memcpy(kept(c.v, c.T, z.P).at(t), d, state_size * sizeof(float));
        if (c.d2) std::memcpy(c.d2 + at, d2, rows * sizeof(float)), std::memcpy(c.v2 + at, v2, rows * sizeof(float));
        if (c.dz)
            for (Index row = 0; row < rows; row++)
                for (Index g = 0; g < z.gates; g++)
                    std::memcpy(c.dz + (at + row) * z.G + g * z.H, delta_now + row * z.width + g * z.P,
                                z.H * sizeof(float));
        std::swap(d2, v2);  // without direct parts d_{t-1} is v_t
        if (steps) {
            steps->add(t);
            if (t % Steps::count(length) == 0) add_part(direction, direction + 2 * Steps::size(*all), Steps::size(*all)), steps->clear();
        } else if (++held == chunk || t == 0) {
            if (c.dW) add_products(h, held, t, delta, with_omega ? weighted : nullptr, part);
            if (c.dW && room.inputs) add_inputs(held, t, delta, part + room.W + room.omega, inputs);
            held = 0;
        }
    }
    if (steps && length == 0) steps->add(-1), add_part(direction, direction + 2 * Steps::size(*all), Steps::size(*all));
    if (steps) choose(*all, r, 1, direction, Steps::size(*all));
    if (c.dh0) write_state(d, c.dh0);
    if (c.dc0) write_state(dc, c.dc0);
    if (c.pad) {
        clear(c.delta, c.T, z.width, length);
        clear(c.d, c.T, z.P, length);
        clear(c.v, c.T, z.P, length);
        if (c.every) clear(c.e, c.T, z.O, length);
        for (Index t = length; t < c.T; t++) {
            const Index at = (r * c.T + t) * c.B + first;
            if (c.d2) std::memset(c.d2 + at, 0, rows * sizeof(float)), std::memset(c.v2 + at, 0, rows * sizeof(float));
            if (c.dz) std::memset(c.dz + at * z.G, 0, rows * z.G * sizeof(float));
        }
    }
}

// What makes the gradients of one step, where the tile is the whole mini-batch and δ and e are of the step at hand.
Simplex Tile::products(const History& past, const float* delta, const Readout& out, Product* product) const {
    const Index vector = c.input == VECTORS ? c.I : 1;
    product[0] = {VECTORS, z.H, z.H, z.gates, 0, past.h.next, z.P, 0, 0, z.width, z.P, 0, z.gates == 1,
                  c.dW_next, 0, past.h.at(0), delta, c.dW, nullptr};
    product[1] = {c.input, c.I, z.H, z.gates, c.T * c.B * vector, c.B * vector, vector, 0, 0, z.width, z.P, 0, z.gates == 1,
                  c.dW_in_next, c.db_next, c.x, delta, c.dW_in, c.db};
    product[2] = {VECTORS, z.H, c.O, 1, 0, past.h.next, z.P, 0, 0, z.O, 0, !c.every, 1,
                  c.dW_out_next, c.db_out_next, past.h.at(c.every ? 1 : length), out.e, c.dW_out, c.db_out};
    Simplex all = *c.simplex;
    all.products = 3, all.product = product;
    return all;
}

// Steps t + steps - 1 down to t: dW += Σ h_{t-1}ᵀ δ_t and, by Ω, Σ κ_t v_tᵀ δ_t. Since v_t = δ_t Wᵀ, the latter is W S,
// S = Σ κ_t δ_tᵀ δ_t; S is symmetric, and half of it cheaper than the whole product. LSTM has four times as many δ as
// units, and makes the product itself.
void Tile::add_products(const Track& h, Index steps, Index t, const float* delta, const float* weighted,
                        float* part) const {
    const float* before = h.at(t + steps - 1);  // the state before the latest step
    const Index vectors = z.width / LANES;
    evenly(z.H, BLOCK_ROWS, [&](Index unit, Index m) {
        const auto add = [&](const float* left, Index left_step, Index first_vector, float* total) {
            evenly(vectors - first_vector, BLOCK_VECTORS, [&](Index vector, Index n) {
                const Index at = (first_vector + vector) * LANES;
                dispatch<BLOCK_ROWS, BLOCK_VECTORS>(m, n, [&](auto M, auto N) {
                    outer<M, N>(steps, rows, left + unit, left_step, z.P, delta + at, rows * z.width, z.width,
                                total + unit * z.width + at, z.width);
                });
            });
        };
        add(before, -h.next, 0, part);
        if (weighted) add(weighted, rows * z.P, c.lstm ? 0 : unit / LANES, part + z.H * z.width);
    });
}

// The same steps: dW_in and db.
void Tile::add_inputs(Index steps, Index t, const float* delta, float* total, float* chunk) const {
    const Index size = (c.I + 1) * z.width;
    std::memset(chunk, 0, size * sizeof(float));
    for (Index step = t + steps; step-- > t;)
        for (Index row = 0; row < rows; row++, delta += z.width) {
            const auto add = [&](Index line, float factor) {
                float* to = chunk + line * z.width;
                for (Index j = 0; j < z.width; j += LANES) store(to + j, load(to + j) + factor * load(delta + j));
            };
            if (c.input == VECTORS) {
                for (Index k = 0; k < c.I; k++) add(k, vector(step, row, c.I)[k]);
                add(c.I, 1.f);
            } else {
                add(symbol(step, row), 1.f);
            }
        }
    for (Index j = 0; j < size; j += LANES) store(total + j, load(total + j) + load(chunk + j));
}

// W S for a symmetric S of which what lies right of the diagonal is known: H rows of P.
float* times_symmetric(const float* W, float* S, const Sizes& z, Scratch& scratch) {
    const Panels panels(z.P / LANES);
    float *packed = scratch.take(z.H * z.P), *result = scratch.take(z.H * z.P);
    for (Index k = 0; k < z.H; k++)
        for (Index j = 0; j < k; j++) S[k * z.P + j] = S[j * z.P + k];
    for (Index p = 0; p < panels.count; p++) {
        const Index at = panels.first(p) * LANES, n = panels.first(p + 1) * LANES - at;
        for (Index k = 0; k < z.H; k++) std::memcpy(packed + z.H * at + k * n, S + k * z.P + at, n * sizeof(float));
    }
    multiply(z.H, W, z.H, 1, z.H, 0, packed, panels, result, z.P, false);
    return result;
}

// The gradients of one replica from the parts of its tiles.
void add_up(const Call& c, Index r, Index tiles, float* total, const Sums* sums, Scratch& scratch) {
    const Sizes z(c);
    const Room room(c, z);
    for (Index tile = 1; tile < tiles; tile++)
        for (Index j = 0; j < room.size(); j += LANES)
            store(total + j, load(total + j) + load(total + tile * room.size() + j));
    Sums all;
    for (Index b = 0; b < c.B; b++)
        all.loss += sums[b].loss, all.excess += sums[b].excess, all.pairs += sums[b].pairs;
    if (c.losses) c.losses[r] = static_cast<float>(all.loss / static_cast<double>(c.B * (c.every ? std::max<Index>(1, c.length[r]) : 1)));
    if (c.alpha && c.alpha[r] == 0) c.omega[r] = NAN;
    if (c.alpha && c.alpha[r] != 0) {
        const Index pairs = std::max<Index>(1, all.pairs);
        c.omega[r] = static_cast<float>(all.excess / static_cast<double>(c.form == SQUARED ? pairs : c.B));
        const float factor = c.form == SQUARED ? c.alpha[r] / static_cast<float>(pairs) : c.alpha[r];
        float* by_omega = total + room.W;
        if (!c.lstm) by_omega = times_symmetric(c.W + r * c.W_next, by_omega, z, scratch);
        for (Index j = 0; j < room.W; j += LANES) store(total + j, load(total + j) + factor * load(by_omega + j));
    }
    if (!c.dW || c.simplex) return;
    // `lines` rows, then what becomes the bias's gradient, without their padding
    const auto hand_out = [&](const float* from, Index lines, Index gates, Index H, Index P, float* to, float* bias) {
        for (Index line = 0; line < lines + (bias != nullptr); line++)
            for (Index g = 0; g < gates; g++)
                std::memcpy((line < lines ? to + (line * gates) * H : bias) + g * H, from + (line * gates + g) * P,
                            H * sizeof(float));
    };
    hand_out(total, z.H, z.gates, z.H, z.P, c.dW + r * c.dW_next, nullptr);
    float* inputs = total + room.W + room.omega;
    float* bias = inputs + c.I * z.width;
    if (room.inputs && c.input != VECTORS)
        for (Index i = 0; i < c.I; i++)
            for (Index j = 0; j < z.width; j++) bias[j] += inputs[i * z.width + j];
    if (room.inputs)
        hand_out(inputs, c.I, z.gates, z.H, z.P, c.dW_in + r * c.dW_in_next, c.db + r * c.db_next);
    if (room.outputs)
        hand_out(inputs + room.inputs, z.H, 1, c.O, z.O, c.dW_out + r * c.dW_out_next, c.db_out + r * c.db_out_next);
}

}  // namespace
