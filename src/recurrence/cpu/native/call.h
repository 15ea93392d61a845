// What Python hands over: one struct for each kind of call.

#pragma once

#include <cstdint>

typedef int64_t Index;

enum Input : Index { DENSE, SYMBOLS_8, SYMBOLS_64, VECTORS };
enum Form : Index { SQUARED, PLAIN };  // of Ω
enum Loss : Index { NONE, CROSS_ENTROPY, SQUARED_ERROR };  // of the readout, mean over sequences and steps
enum Activation : int32_t { TANH, SIGMOID, RELU, ELU, IDENTITY };

// One product that makes a gradient: of a weight, the sum over steps of leftᵀ right, and of a bias, that of right.
// Mirrored by cpu.py, field by field, as is the next.
struct Product {
    Index input, K, H, gates;         // of left: symbols or vectors, and how many columns; right has gates * H
    Index left_next, left_step, left_row;                // from one replica, step, row to the next
    Index right_next, right_step, right_row, right_gate;
    Index at_end, ready;              // there is one step: each replica's last; right's rows are padded with zeros
    Index weight_next, bias_next;
    const void* left;
    const float* right;
    float *weight, *bias;             // gradients, each replica's contiguous; null: there is no bias
};

// The simplex direction, from all the products that make the gradients of a network.
struct Simplex {
    Index R, T, B, threads, products, descent;
    const Index* length;              // R
    const Product* product;
    const float *beta, *psi;          // RT, R
};

// Mirrored by cpu.py, field by field. A null pointer means: not there, not wanted, or zero.
struct Call {
    Index R, T, B, H, I, O;
    Index lstm, threads, input, form, loss;
    Index every;                      // whether there is a target, and a loss, at every step, not only at the last one
    Index pad;                        // rows beyond a replica's length are handed out and shall be zero
    const Index* length;              // R: steps of each replica, 0 to T
    const int32_t* activation;        // R; simple cells only
    const void* x;                    // dense drive RTBG, symbols RTB, or vectors RTBI; contiguous
    const void* target;               // RB, or RTB if `every`: classes (int64) or numbers (float)
    const float *W, *W_in, *b, *W_out, *b_out;  // RHG, RIG, RG, RHO, RO; each replica's contiguous
    float *dW, *dW_in, *db, *dW_out, *db_out;   // likewise; without dW there are no others: δ and e are what is wanted
    Index W_next, W_in_next, b_next, W_out_next, b_out_next;  // from one replica to the next
    Index dW_next, dW_in_next, db_next, dW_out_next, db_out_next;
    const float *h0, *c0;             // RBH contiguous: the state before the first step
    float *h, *c;                     // rows of P, T + 1 steps, the first one the state before
    float *gates;                     // rows of 4 P, LSTM only
    float *h_last, *c_last;           // RBH contiguous
    const float *dh;                  // RTBH contiguous: direct parts of dL/dh
    const float *dh_last, *dc_last;   // RBH contiguous
    float *dh0, *dc0;                 // RBH contiguous
    float *delta, *d, *v;             // rows of gates * P, P and P: to be handed out
    float* e;                         // dL/d(output), rows of O, padded, of one step or, if `every`, of T: likewise
    float *d2, *v2;                   // RTB, likewise
    float *dz;                        // RTBG contiguous: δ where the drive itself was the input
    float* losses;                    // R
    const float* alpha;               // R: weight of Ω; 0: none
    float* omega;                     // R: Ω; NaN where alpha is 0
    const Simplex* simplex;           // its β and ψ; if given, the gradients are that direction
};

// y = x W + b of R networks, or its tanh; mirrored by linear.py, field by field.
struct Linear {
    Index R, N, K, M;                 // N rows of K numbers become rows of M
    Index threads, tanh;
    Index x_next, x_row, W_next, b_next;  // from one replica to the next; from one row of x to the next
    const float *x, *W, *b;           // columns side by side
    float* y;                         // RNM contiguous
    const float* dy;                  // likewise
    float *dx, *dW, *db;              // RNK (or null), RKM, RM contiguous
};

// y = x + noise: N rows of K numbers of each replica; mirrored by linear.py, field by field.
struct Noise {
    Index R, N, K, threads, x_next, x_row;
    const uint64_t* stream;           // R times the key and the upper half of the counter: see draws.py
    const float* quantiles;           // 2**16
    const float* x;
    float* y;                         // RNK contiguous
};
