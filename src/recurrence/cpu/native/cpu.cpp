// The recurrence of R networks at once on CPUs: forward, backward, and the product that makes the gradient of W.
//
// reference.py is the specification; Python compiles this file and calls its functions. Row vectors, step t counted from
// 0:
//     a_t = drive_t + h_{t-1} W,   h_t = σ(a_t)      (LSTM: gates i, f, g, o and the cell state c)
//
// Work is divided over replicas and tiles of their sequences. On the way back a tile also makes its part of the
// gradients, while δ is near: δ and v are never kept, and h, c and the gates are read once. The tiles there depend on the
// number of sequences alone, every sum runs over a fixed number of rows in a fixed order, and the tiles' parts are added
// in their order. So bits depend neither on threads, nor on neighbours, nor on padding. One source serves every machine:
// the vectors are the compiler's (GCC and Clang), as wide as the machine's.

#include "arguments.h"
#include "bound.h"
#include "descent.h"
#include "layout.h"
#include "linear.h"
#include "noise.h"
#include "simplex.h"

extern "C" {

// The numbers in a vector, to a multiple of which rows are padded.
int lanes() { return LANES; }

// Sets `rows` to the table of layout.h; returns how many rows it has.
Index layout(const Layout** rows) {
    static const std::vector<Layout> table = make_layout();
    *rows = table.data();
    return static_cast<Index>(table.size());
}

// All steps, for the state after the last one; h of every step and what the way back needs where there are arrays for
// it. Returns 0, or 1 if some symbol is none of those there are; what is handed out is then worth nothing.
int forward(const Call* c) { return !run_forward(*c); }

// The way back from what `forward` left in the arrays, where loss is NONE; else the whole update: forward, readout,
// loss, and back, all the gradients. A tile's history then lies in its thread's memory and may never leave the cache.
// Returns what `forward` does, for classes too.
int backward(const Call* c) {
    const bool apart = c->simplex && c->threads > c->R;
    return !(apart ? run_direction_apart(*c) : run_backward(*c));
}

// Several updates of the call's networks, with steps: see descent.h.
Index descend(const Call* c, const Descent* d) { return Descending(*c, *d).run(c->threads); }

// Norms of R gradients of P numbers each, as `descend` takes them.
void norms(const float* gradient, Index R, Index P, float* norm) {
    flush_denormals();
    for (Index r = 0; r < R; r++) norm[r] = norm_of(gradient + r * P, P);
}

// Gradients replaced by the simplex direction, with its sign: what is subtracted from the parameters.
void simplex(const Simplex* c) { make_direction(*c); }

void linear_forward(const Linear* c) { run_linear(*c); }

void linear_backward(const Linear* c) { run_linear_back(*c); }

// What bench/ compares the speed with: see bound.h.
Index multiply_adds(Index threads, Index lanes, Index rounds) { return multiply_adds_of(threads, lanes, rounds); }

void add_noise(const Noise* c) { run_noise(*c); }

}  // extern "C"
