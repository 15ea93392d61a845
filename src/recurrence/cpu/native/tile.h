// One tile: some sequences of one replica, and where their rows lie.

#pragma once

#include <cstring>

#include "leftover.h"
#include "products.h"
#include "scratch.h"

namespace {

// Widths of rows.
struct Sizes {
    Index H, P, gates, G, width, O;  // width: of rows of G columns, padded gate by gate; O is padded too
    Index left, whole;               // of H columns so many are left over; before them are whole vectors

    explicit Sizes(const Call& c)
        : H(c.H), P(padded(c.H)), gates(c.lstm ? 4 : 1), G(gates * H), width(gates * P), O(padded(c.O)),
          left(left_over(c.H)), whole(left ? H - left : P) {}

    Columns columns() const { return {gates, H, P}; }
};

// Rows of one tile at every step; where they are not kept, at two steps in turn.
struct Track {
    float* base = nullptr;
    Index next = 0;
    bool turns = false;
    float* at(Index t) const { return base + (turns ? t & 1 : t) * next; }
};

// What the way back needs of the way there.
struct History {
    Track h, cell, gates;
};

// Sequences [first, first + rows) of one replica.
struct Tile {
    const Call& c;
    const Sizes z;
    const Index r, first, rows, length;

    Tile(const Call& c, Index r, Index first, Index rows)
        : c(c), z(c), r(r), first(first), rows(rows), length(c.length[r]) {}

    // The tile's first row at step t in an array RTB.
    Index row(Index t) const { return (r * c.T + t) * c.B + first; }

    // The tile's first row in an array RB.
    Index row() const { return r * c.B + first; }

    // The tile's rows in an array of the call.
    Track kept(float* array, Index steps, Index width) const {
        return {array + (r * steps * c.B + first) * width, c.B * width, false};
    }

    // A state RBH, null for zeros, to padded rows.
    void read_state(const float* from, float* to) const {
        for (Index i = 0; i < rows; i++) {
            if (from) std::memcpy(to + i * z.P, from + (row() + i) * z.H, z.H * sizeof(float));
            std::memset(to + i * z.P + (from ? z.H : 0), 0, (z.P - (from ? z.H : 0)) * sizeof(float));
        }
    }

    // Padded rows to a state RBH.
    void write_state(const float* from, float* to) const { unpad_rows(from, rows, {1, z.H, z.P}, to + row() * z.H); }

    // Brings rows of a later step near while this one is computed.
    void fetch(const float* near, Index width) const {
        for (Index i = 0; i < rows * width; i += 16) __builtin_prefetch(near + i, 1);
    }

    // Hands out the rows of step t; nothing where there is no array for them.
    void hand_out(const float* from, float* array, Index t, Index width) const {
        if (array) std::memcpy(kept(array, c.T, width).at(t), from, rows * width * sizeof(float));
    }

    // Clears the rows of steps from `begin` on; nothing where there is no array.
    void clear(float* array, Index steps, Index width, Index begin) const {
        if (!array) return;
        const Track track = kept(array, steps, width);
        for (Index t = begin; t < steps; t++) std::memset(track.at(t), 0, rows * width * sizeof(float));
    }

    // Where history is kept: in the arrays of the call or in scratch, of all steps or of two in turn.
    History history(Scratch& scratch, bool all) const {
        const Index steps = all ? length + 1 : 2;
        const auto track = [&](float* array, Index width) {
            return array ? kept(array, c.T + 1, width) : Track{scratch.take(steps * rows * width), rows * width, !all};
        };
        History own;
        own.h = track(c.h, z.P);
        if (!c.lstm) return own;
        own.cell = track(c.c, z.P);
        if (c.gates)
            own.gates = kept(c.gates, c.T, z.width);
        else
            own.gates = {scratch.take((steps - 1) * rows * z.width), all ? rows * z.width : 0, false};
        return own;
    }
};

}  // namespace
