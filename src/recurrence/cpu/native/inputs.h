// Inputs and targets, and what the inputs add to a: drive.

#pragma once

#include "tile.h"

namespace {

inline bool symbolic(const Call& c) { return c.input == SYMBOLS_8 || c.input == SYMBOLS_64; }

inline Index symbol_at(const void* symbols, Index input, Index at) {
    return input == SYMBOLS_8 ? static_cast<const int8_t*>(symbols)[at] : static_cast<const int64_t*>(symbols)[at];
}

inline Index symbol(const Tile& tile, Index t, Index row) {
    return symbol_at(tile.c.x, tile.c.input, tile.row(t) + row);
}

// The numbers of a row of input: I of them or, of a drive, G.
inline const float* vector(const Tile& tile, Index t, Index row, Index size) {
    return static_cast<const float*>(tile.c.x) + (tile.row(t) + row) * size;
}

// The place of a row's target.
inline Index target(const Tile& tile, Index t, Index row) {
    return (tile.c.every ? tile.row(t) : tile.row()) + row;
}

inline Index target_class(const Tile& tile, Index t, Index row) {
    return static_cast<const Index*>(tile.c.target)[target(tile, t, row)];
}

// Whether all symbols and classes are among those that there are.
bool known(const Tile& tile) {
    const Call& c = tile.c;
    for (Index t = 0; symbolic(c) && t < tile.length; t++)
        for (Index row = 0; row < tile.rows; row++) {
            const Index i = symbol(tile, t, row);
            if (i < 0 || i >= c.I) return false;
        }
    for (Index t = 0; c.loss == CROSS_ENTROPY && t < (c.every ? tile.length : 1); t++)
        for (Index row = 0; row < tile.rows; row++) {
            const Index o = target_class(tile, t, row);
            if (o < 0 || o >= c.O) return false;
        }
    return true;
}

// I + 1 padded rows. For symbols the rows of W_in, each plus b; for vectors the rows of W_in, then b.
void make_table(const Tile& tile, float* table) {
    const Call& c = tile.c;
    const Sizes& z = tile.z;
    if (c.input == DENSE) return;
    const float* W_in = c.W_in + tile.r * c.W_in_next;
    for (Index i = 0; i < c.I; i++) pad_row(W_in + i * z.G, z.columns(), table + i * z.width);
    float* bias = table + c.I * z.width;
    pad_row(c.b + tile.r * c.b_next, z.columns(), bias);
    if (!symbolic(c)) return;
    for (Index i = 0; i < c.I; i++)
        for (Index j = 0; j < z.width; j++) table[i * z.width + j] += bias[j];
}

// One row of x W_in + b, for a row of numbers.
void drive_by_vector(const Tile& tile, const float* x, const float* table, float* a) {
    const Index width = tile.z.width;
    const float* bias = table + tile.c.I * width;
    for (Index j = 0; j < width; j += LANES) {
        Vector total = load(bias + j);
        for (Index i = 0; i < tile.c.I; i++) total += x[i] * load(table + i * width + j);
        store(a + j, total);
    }
}

// Where the rows x W_in + b of step t are: in the table, or in `room`.
void drive(const Tile& tile, Index t, const float* table, float* room, const float** rows) {
    const Sizes& z = tile.z;
    for (Index row = 0; row < tile.rows; row++) {
        float* own = room + row * z.width;
        rows[row] = symbolic(tile.c) ? table + symbol(tile, t, row) * z.width : own;
        if (tile.c.input == DENSE)
            pad_row(vector(tile, t, row, z.G), z.columns(), own);
        else if (tile.c.input == VECTORS)
            drive_by_vector(tile, vector(tile, t, row, tile.c.I), table, own);
    }
}

}  // namespace
