// A layer without a recurrence: y = x W + b, or its tanh; and back.

#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "functions.h"
#include "outer.h"
#include "products.h"
#include "scratch.h"
#include "threads.h"

namespace {

constexpr Index LINEAR_ROWS = 48;               // taken at a time: x, y and their derivatives stay near
constexpr Index PART_ROWS = 42 * LINEAR_ROWS;  // of a part, whose sums are added up by themselves

Index parts_of(const Linear& c) { return (c.N + PART_ROWS - 1) / PART_ROWS; }

// Calls each(replica, part, first row, rows) for the parts of the rows of every replica. All but the last are of one
// size, so that rows of zeros at the end, padding, change no sum.
template <class Each>
void over_rows(const Linear& c, const Each& each) {
    const Index parts = parts_of(c);
    auto work = [&](Index job) {
        const Index part = job % parts;
        const Index first = part * PART_ROWS;
        each(job / parts, part, first, std::min(PART_ROWS, c.N - first));
    };
    Pool::get().run(c.threads, c.R * parts, work);
}

// f(first, size) for rows [first, first + rows) in blocks of LINEAR_ROWS.
template <class F>
void in_blocks(Index first, Index rows, const F& f) {
    for (Index at = first; at < first + rows; at += LINEAR_ROWS) f(at, std::min(LINEAR_ROWS, first + rows - at));
}

// The rows of one replica.
struct Layer {
    const Linear& c;
    const Index r, K, M;  // K and M padded

    Layer(const Linear& c, Index r) : c(c), r(r), K(padded(c.K)), M(padded(c.M)) {}

    const float* W() const { return c.W + r * c.W_next; }
    const float* x(Index row) const { return c.x + r * c.x_next + row * c.x_row; }
    Index to_y(Index row) const { return (r * c.N + row) * c.M; }
    Columns outputs() const { return {1, c.M, M}; }
};

// -- there

// Rows of y from row `at` on.
void linear_rows(const Layer& layer, const Packed& W, Index at, Index rows, float* y) {
    const Linear& c = layer.c;
    for (Index row = 0; row < rows; row++) pad_row(c.b + layer.r * c.b_next, layer.outputs(), y + row * layer.M);
    multiply(rows, {layer.x(at), c.x_row, c.K}, W, {y, layer.M}, y, layer.M);
    if (c.tanh)
        for (Index j = 0; j < rows * layer.M; j += LANES) store(y + j, tanh_(load(y + j)));
    unpad_rows(y, rows, layer.outputs(), c.y + layer.to_y(at));
}

void run_linear(const Linear& c) {
    over_rows(c, [&](Index r, Index, Index first, Index rows) {
        Scratch& scratch = Scratch::fresh();
        const Layer layer(c, r);
        Packed W(c.K, layer.M, scratch);
        W.pack(layer.W(), layer.outputs());
        float* y = scratch.take(LINEAR_ROWS * layer.M);
        in_blocks(first, rows, [&](Index at, Index n) { linear_rows(layer, W, at, n, y); });
    });
}

// -- back

// Rows of dL/da, a = x W + b, from row `at` on; they are added to db.
void derive_rows(const Layer& layer, Index at, Index rows, float* da, float* db) {
    const Linear& c = layer.c;
    for (Index row = 0; row < rows; row++) {
        const float* y = c.y + layer.to_y(at + row);
        float* to = da + row * layer.M;
        pad_row(c.dy + layer.to_y(at + row), layer.outputs(), to);
        for (Index j = 0; c.tanh && j < c.M; j++) to[j] *= 1.f - y[j] * y[j];
        add_to(db, to, layer.M);
    }
}

// The parts' sums of one replica, added in their order.
void add_parts(const Linear& c, Index r, Index parts, float* sums) {
    const Columns columns = {1, c.M, padded(c.M)};
    const Index size = (c.K + 1) * columns.P;
    for (Index part = 1; part < parts; part++) add_to(sums, sums + part * size, size);
    unpad_rows(sums, c.K, columns, c.dW + r * c.K * c.M);
    unpad_rows(sums + c.K * columns.P, 1, columns, c.db + r * c.M);
}

void run_linear_back(const Linear& c) {
    const Index parts = parts_of(c);
    const Index size = (c.K + 1) * padded(c.M);  // dW, then db
    static thread_local std::vector<float> memory;
    float* const sums = at_least(memory, c.R * parts * size);
    over_rows(c, [&](Index r, Index part, Index first, Index rows) {
        Scratch& scratch = Scratch::fresh();
        const Layer layer(c, r);
        Packed W(c.M, layer.K, scratch);  // its transpose
        if (c.dx) W.pack_transposed(layer.W(), c.K);
        float* const da = scratch.take(LINEAR_ROWS * layer.M);
        float* const dx = scratch.take(LINEAR_ROWS * layer.K);
        float* const dW = sums + (r * parts + part) * size;
        float* const db = dW + c.K * layer.M;
        std::memset(dW, 0, size * sizeof(float));
        in_blocks(first, rows, [&](Index at, Index n) {
            derive_rows(layer, at, n, da, db);
            add_outer(1, n, {layer.x(at), 0, c.x_row}, {da, 0, layer.M}, dW, layer.M, c.K, layer.M / LANES);
            if (!c.dx) return;
            multiply(n, {da, layer.M, c.M}, W, {}, dx, layer.K);
            unpad_rows(dx, n, {1, c.K, layer.K}, c.dx + (r * c.N + at) * c.K);
        });
    });
    for (Index r = 0; r < c.R; r++) add_parts(c, r, parts, sums + r * parts * size);
}

}  // namespace
