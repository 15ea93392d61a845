// The way there of one tile.

#pragma once

#include <vector>

#include "cells.h"
#include "inputs.h"

namespace {

// Brings rows of the steps to come near.
inline void fetch_ahead(const Tile& tile, const History& past, Index t) {
    if (t + 1 >= tile.length) return;
    tile.fetch(past.h.at(t + 2), tile.z.P);
    if (!tile.c.lstm) return;
    tile.fetch(past.gates.at(t + 1), tile.z.width);
    tile.fetch(past.cell.at(t + 2), tile.z.P);
}

void forward(const Tile& tile, const History& past, Scratch& scratch) {
    const Call& c = tile.c;
    const Sizes& z = tile.z;
    const float* weights = c.W + tile.r * c.W_next;
    Packed W(z.H, c.lstm ? z.width : z.whole, scratch);
    Leftover W_left(c.lstm ? 0 : z.left, z.P, scratch);
    W.pack(weights, z.columns());
    W_left.pack(weights, z.columns());
    float* table = scratch.take((c.I + 1) * z.width);
    make_table(tile, table);
    std::vector<const float*> rows(tile.rows);
    tile.read_state(c.h0, past.h.at(0));
    if (c.lstm) tile.read_state(c.c0, past.cell.at(0));
    for (Index t = 0; t < tile.length; t++) {
        float* h = past.h.at(t + 1);
        float* a = c.lstm ? past.gates.at(t) : h;
        drive(tile, t, table, a, rows.data());
        fetch_ahead(tile, past, t);
        multiply(tile.rows, {past.h.at(t), z.P, z.H}, W, {nullptr, 0, rows.data()}, a, z.width);
        advance_leftover(tile, past.h.at(t), W_left, rows.data(), a);
        if (c.lstm)
            advance_lstm(tile, a, past.cell.at(t), past.cell.at(t + 1), h);
        else
            advance(tile, a);
    }
    if (c.h_last) tile.write_state(past.h.at(tile.length), c.h_last);
    if (c.c_last) tile.write_state(past.cell.at(tile.length), c.c_last);
    if (c.pad) tile.clear(c.h, c.T + 1, z.P, tile.length + 1);
}

}  // namespace
