// One tile of sequences: its rows, its inputs, its steps.

#pragma once

#include "functions.h"
#include "products.h"
#include "scratch.h"

namespace {

struct Sizes {
    Index H, P, gates, G, width, O;  // width: of rows of G columns, padded gate by gate; O is padded too
    explicit Sizes(const Call& c)
        : H(c.H), P((c.H + LANES - 1) / LANES * LANES), gates(c.lstm ? 4 : 1), G(gates * H), width(gates * P),
          O((c.O + LANES - 1) / LANES * LANES) {}
};

// Rows of one tile of sequences at every step; where they are not kept, at two steps in turn.
struct Track {
    float* base = nullptr;
    Index next = 0;
    bool turns = false;
    float* at(Index t) const { return base + (turns ? t & 1 : t) * next; }
};

void pad_row(const float* from, float* to, const Sizes& z) {  // G numbers to a row of `width`
    for (Index g = 0; g < z.gates; g++) {
        std::memcpy(to + g * z.P, from + g * z.H, z.H * sizeof(float));
        std::memset(to + g * z.P + z.H, 0, (z.P - z.H) * sizeof(float));
    }
}

struct Sums;
struct Readout;

// What the way back needs of the way there.
struct History {
    Track h, cell, gates;
};

// One tile: sequences [first, first + rows) of one replica.
struct Tile {
    const Call& c;
    const Sizes z;
    const Index r, first, rows, length;

    Tile(const Call& c, Index r, Index first, Index rows)
        : c(c), z(c), r(r), first(first), rows(rows), length(c.length[r]) {}

    Track kept(float* array, Index steps, Index width) const {
        return {array + (r * steps * c.B + first) * width, c.B * width, false};
    }
    // Rows outside the tracks: [R][B][H] contiguous.
    Index state(Index row) const { return (r * c.B + first + row) * z.H; }

    void read_state(const float* from, float* to) const {
        for (Index row = 0; row < rows; row++) {
            if (from) std::memcpy(to + row * z.P, from + state(row), z.H * sizeof(float));
            std::memset(to + row * z.P + (from ? z.H : 0), 0, (z.P - (from ? z.H : 0)) * sizeof(float));
        }
    }
    void write_state(const float* from, float* to) const {
        for (Index row = 0; row < rows; row++) std::memcpy(to + state(row), from + row * z.P, z.H * sizeof(float));
    }
    // Brings rows of a later step near while this one is computed.
    void fetch(const float* row, Index width) const {
        for (Index i = 0; i < rows * width; i += 16) __builtin_prefetch(row + i, 1);
    }
    void clear(float* array, Index steps, Index width, Index from) const {  // padding of rows that are handed out
        if (!array) return;
        const Track track = kept(array, steps, width);
        for (Index t = from; t < steps; t++) std::memset(track.at(t), 0, rows * width * sizeof(float));
    }

    // Inputs, and what they add to a: drive.
    Index symbol(Index t, Index row) const {
        const Index at = (r * c.T + t) * c.B + first + row;
        return c.input == SYMBOLS_8 ? static_cast<const int8_t*>(c.x)[at] : static_cast<const int64_t*>(c.x)[at];
    }
    bool known() const {  // whether all symbols and classes are
        for (Index t = 0; c.input != DENSE && c.input != VECTORS && t < length; t++)
            for (Index row = 0; row < rows; row++)
                if (const Index i = symbol(t, row); i < 0 || i >= c.I) return false;
        for (Index t = 0; c.loss == CROSS_ENTROPY && t < (c.every ? length : 1); t++)
            for (Index row = 0; row < rows; row++)
                if (const Index o = static_cast<const Index*>(c.target)[target(t, row)]; o < 0 || o >= c.O) return false;
        return true;
    }
    Index target(Index t, Index row) const { return (c.every ? r * c.T + t : r) * c.B + first + row; }
    const float* vector(Index t, Index row, Index size) const {
        return static_cast<const float*>(c.x) + ((r * c.T + t) * c.B + first + row) * size;
    }
    void make_table(float* table) const {  // symbols: rows of W_in, plus b; vectors: rows of W_in, then b
        if (c.input == DENSE) return;
        for (Index i = 0; i < c.I; i++) pad_row(c.W_in + r * c.W_in_next + i * z.G, table + i * z.width, z);
        float* bias = table + c.I * z.width;
        pad_row(c.b + r * c.b_next, bias, z);
        if (c.input != VECTORS)
            for (Index i = 0; i < c.I; i++)
                for (Index j = 0; j < z.width; j++) table[i * z.width + j] += bias[j];
    }
    void drive(Index t, const float* table, float* a) const {
        for (Index row = 0; row < rows; row++, a += z.width) {
            if (c.input == DENSE) {
                pad_row(vector(t, row, z.G), a, z);
            } else if (c.input == VECTORS) {
                const float *x = vector(t, row, c.I), *bias = table + c.I * z.width;
                for (Index j = 0; j < z.width; j += LANES) {
                    Vector total = load(bias + j);
                    for (Index i = 0; i < c.I; i++) total += x[i] * load(table + i * z.width + j);
                    store(a + j, total);
                }
            } else {
                std::memcpy(a, table + symbol(t, row) * z.width, z.width * sizeof(float));
            }
        }
    }

    // One step of the cell, in place or into other rows.
    template <int A>
    void simple(float* h) const {
        for (Index i = 0; i < rows * z.P; i += LANES) store(h + i, activate<A>(load(h + i)));
    }
    void advance(float* h) const {
        switch (c.activation[r]) {
            case TANH: return simple<TANH>(h);
            case SIGMOID: return simple<SIGMOID>(h);
            case RELU: return simple<RELU>(h);
            case ELU: return simple<ELU>(h);
        }
    }
    void advance_lstm(float* gates, const float* c_before, float* c_after, float* h) const {
        for (Index row = 0; row < rows; row++, gates += z.width)
            for (Index j = 0; j < z.P; j += LANES) {
                const Vector i = sigmoid_(load(gates + j)), f = sigmoid_(load(gates + z.P + j));
                const Vector g = tanh_(load(gates + 2 * z.P + j)), o = sigmoid_(load(gates + 3 * z.P + j));
                const Vector cell = f * load(c_before + row * z.P + j) + i * g;
                store(gates + j, i), store(gates + z.P + j, f), store(gates + 2 * z.P + j, g);
                store(gates + 3 * z.P + j, o);
                store(c_after + row * z.P + j, cell);
                store(h + row * z.P + j, o * tanh_(cell));
            }
    }

    // Where history is kept: in the arrays of the call, or in scratch, of all steps or of two in turn.
    History history(Scratch& scratch, bool all) const {
        const Index steps = all ? length + 1 : 2;
        const auto track = [&](float* array, Index width) {
            return array ? kept(array, c.T + 1, width) : Track{scratch.take(steps * rows * width), rows * width, !all};
        };
        History own;
        own.h = track(c.h, z.P);
        if (!c.lstm) return own;
        own.cell = track(c.c, z.P);
        own.gates = c.gates ? kept(c.gates, c.T, z.width) : Track{scratch.take((steps - 1) * rows * z.width), all ? rows * z.width : 0, false};
        return own;
    }

    void forward(const History& past, Scratch& scratch) const {
        const Track &h = past.h, &cell = past.cell, &gates = past.gates;
        const Panels panels(z.width / LANES);
        float* packed = scratch.take(z.H * z.width);
        float* table = scratch.take((c.I + 1) * z.width);
        pack(c.W + r * c.W_next, z.H, z.gates, z.H, z.P, panels, packed);
        make_table(table);
        read_state(c.h0, h.at(0));
        if (c.lstm) read_state(c.c0, cell.at(0));
        for (Index t = 0; t < length; t++) {
            float* a = c.lstm ? gates.at(t) : h.at(t + 1);
            drive(t, table, a);
            if (t + 1 < length) {
                fetch(h.at(t + 2), z.P);
                if (c.lstm) fetch(gates.at(t + 1), z.width), fetch(cell.at(t + 2), z.P);
            }
            multiply(rows, h.at(t), z.P, 1, z.H, 0, packed, panels, a, z.width, true);
            if (c.lstm)
                advance_lstm(a, cell.at(t), cell.at(t + 1), h.at(t + 1));
            else
                advance(a);
        }
        if (c.h_last) write_state(h.at(length), c.h_last);
        if (c.c_last) write_state(cell.at(length), c.c_last);
        if (c.pad) clear(c.h, c.T + 1, z.P, length + 1);
    }

    // -- backwards

    // δ of one step, and what flows around W.
    template <int A>
    void simple_back(const float* d, const float* h, float* delta) const {
        for (Index i = 0; i < rows * z.P; i += LANES) store(delta + i, load(d + i) * slope<A>(load(h + i)));
    }
    void pull_back(const float* d, const float* h, float* delta) const {
        switch (c.activation[r]) {
            case TANH: return simple_back<TANH>(d, h, delta);
            case SIGMOID: return simple_back<SIGMOID>(d, h, delta);
            case RELU: return simple_back<RELU>(d, h, delta);
            case ELU: return simple_back<ELU>(d, h, delta);
            default: return simple_back<IDENTITY>(d, h, delta);
        }
    }
    void pull_back_lstm(const float* dh, float* dc, const float* c_before, const float* c_after, const float* gates,
                        float* delta) const {
        for (Index row = 0; row < rows; row++, gates += z.width, delta += z.width)
            for (Index j = 0; j < z.P; j += LANES) {
                const Index at = row * z.P + j;
                const Vector i = load(gates + j), f = load(gates + z.P + j);
                const Vector g = load(gates + 2 * z.P + j), o = load(gates + 3 * z.P + j);
                const Vector tanh_c = tanh_(load(c_after + at)), dh_ = load(dh + at);
                const Vector dc_ = dh_ * o * (1.f - tanh_c * tanh_c) + load(dc + at);
                store(delta + j, dc_ * g * i * (1.f - i));
                store(delta + z.P + j, dc_ * load(c_before + at) * f * (1.f - f));
                store(delta + 2 * z.P + j, dc_ * i * (1.f - g * g));
                store(delta + 3 * z.P + j, dh_ * tanh_c * o * (1.f - o));
                store(dc + at, dc_ * f);
            }
    }
    // Sums of squares of each row of one or two states.
    void squares(const float* one, const float* two, float* result) const {
        Mask inside;  // lanes of the last vector that hold units
        for (int lane = 0; lane < LANES; lane++) inside[lane] = lane < z.H - (z.P - LANES) ? -1 : 0;
        for (Index row = 0; row < rows; row++) {
            Vector total{};
            for (const float* state : {one, two}) {
                if (!state) continue;
                for (Index j = 0; j < z.P; j += LANES) {
                    Vector x = load(state + row * z.P + j);
                    if (j == z.P - LANES) x = inside ? x : Vector{};
                    total += x * x;
                }
            }
            result[row] = sum(total);
        }
    }

    // Each adds to the tile's part of the gradients, and for each sequence to its sums.
    void readout(const Readout& out, Index t, const float* h, float* d, Sums* sums) const;
    void backward(const History& past, float* part, Sums* sums, Scratch& scratch) const;
    Simplex products(const History& past, const float* delta, const Readout& out, Product* product) const;
    void add_products(const Track& h, Index steps, Index t, const float* delta, const float* weighted, float* part) const;
    void add_inputs(Index steps, Index t, const float* delta, float* total, float* chunk) const;
};

}  // namespace
