// The cells, one step there and one step back, on the padded rows of a tile.

#pragma once

#include "functions.h"
#include "tile.h"

namespace {

// σ(a).
template <int A>
inline Vector activate(Vector a) {
    switch (A) {
        case TANH: return tanh_(a);
        case SIGMOID: return sigmoid_(a);
        case RELU: return a < 0.f ? Vector{} : a;
        case ELU: return a < 0.f ? expm1_(a) : a;
        default: return a;
    }
}

// σ'(a) as a function of h = σ(a).
template <int A>
inline Vector slope(Vector h) {
    switch (A) {
        case TANH: return 1.f - h * h;
        case SIGMOID: return h * (1.f - h);
        case RELU: return h > 0.f ? Vector{} + 1.f : Vector{};
        case ELU: return h < 0.f ? h + 1.f : Vector{} + 1.f;
        default: return Vector{} + 1.f;
    }
}

// -- simple cells: h = σ(a)

template <int A>
void simple(const Tile& tile, float* h) {
    for (Index row = 0; row < tile.rows; row++, h += tile.z.P)
        for (Index j = 0; j < tile.z.whole; j += LANES) store(h + j, activate<A>(load(h + j)));
}

// h = σ(a), in place, but for what is left over.
void advance(const Tile& tile, float* h) {
    switch (tile.c.activation[tile.r]) {
        case TANH: return simple<TANH>(tile, h);
        case SIGMOID: return simple<SIGMOID>(tile, h);
        case RELU: return simple<RELU>(tile, h);
        case ELU: return simple<ELU>(tile, h);
    }
}

Vector activate(int32_t activation, Vector a) {
    switch (activation) {
        case TANH: return activate<TANH>(a);
        case SIGMOID: return activate<SIGMOID>(a);
        case RELU: return activate<RELU>(a);
        case ELU: return activate<ELU>(a);
        default: return a;
    }
}

// What is left over of h = σ(a), from `drive`, which is a without the product.
void advance_leftover(const Tile& tile, const float* before, const Leftover& W, const float* const* drive, float* h) {
    const Sizes& z = tile.z;
    const int32_t activation = tile.c.lstm ? IDENTITY : tile.c.activation[tile.r];
    const auto then = [&](Vector a) { return activate(activation, a); };
    multiply(tile.rows, before, z.P, W, {nullptr, 0, drive}, h, z.P, z.whole, then);
}

template <int A>
void simple_back(Index size, const float* d, const float* h, float* delta) {
    for (Index i = 0; i < size; i += LANES) store(delta + i, load(d + i) * slope<A>(load(h + i)));
}

// δ = d σ'(a).
void pull_back(const Tile& tile, const float* d, const float* h, float* delta) {
    const Index size = tile.rows * tile.z.P;
    switch (tile.c.activation[tile.r]) {
        case TANH: return simple_back<TANH>(size, d, h, delta);
        case SIGMOID: return simple_back<SIGMOID>(size, d, h, delta);
        case RELU: return simple_back<RELU>(size, d, h, delta);
        case ELU: return simple_back<ELU>(size, d, h, delta);
        default: return simple_back<IDENTITY>(size, d, h, delta);
    }
}

// -- LSTM: gates i, f, g, o; c_after = f c_before + i g, h = o tanh(c_after)

// The gates in place, from a.
void advance_lstm(const Tile& tile, float* gates, const float* c_before, float* c_after, float* h) {
    const Index P = tile.z.P;
    for (Index row = 0; row < tile.rows; row++) {
        for (Index j = 0; j < P; j += LANES) {
            const Vector i = sigmoid_(load(gates + j));
            const Vector f = sigmoid_(load(gates + P + j));
            const Vector g = tanh_(load(gates + 2 * P + j));
            const Vector o = sigmoid_(load(gates + 3 * P + j));
            const Vector cell = f * load(c_before + row * P + j) + i * g;
            store(gates + j, i);
            store(gates + P + j, f);
            store(gates + 2 * P + j, g);
            store(gates + 3 * P + j, o);
            store(c_after + row * P + j, cell);
            store(h + row * P + j, o * tanh_(cell));
        }
        gates += 4 * P;
    }
}

// δ of all gates. dc in place: dL/dc after the step becomes dL/dc before it.
void pull_back_lstm(const Tile& tile, const float* dh, float* dc, const float* c_before, const float* c_after,
                    const float* gates, float* delta) {
    const Index P = tile.z.P;
    for (Index row = 0; row < tile.rows; row++) {
        for (Index j = 0; j < P; j += LANES) {
            const Index at = row * P + j;
            const Vector i = load(gates + j);
            const Vector f = load(gates + P + j);
            const Vector g = load(gates + 2 * P + j);
            const Vector o = load(gates + 3 * P + j);
            const Vector tanh_c = tanh_(load(c_after + at));
            const Vector dh_ = load(dh + at);
            const Vector dc_ = dh_ * o * (1.f - tanh_c * tanh_c) + load(dc + at);
            store(delta + j, dc_ * g * i * (1.f - i));
            store(delta + P + j, dc_ * load(c_before + at) * f * (1.f - f));
            store(delta + 2 * P + j, dc_ * i * (1.f - g * g));
            store(delta + 3 * P + j, dh_ * tanh_c * o * (1.f - o));
            store(dc + at, dc_ * f);
        }
        gates += 4 * P;
        delta += 4 * P;
    }
}

}  // namespace
