// Gradients step by step: see temporal.py.

#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "inputs.h"
#include "outer.h"

namespace {

inline Index width_of(const Product& p) { return padded(p.gates * p.H); }

// A matrix, its columns padded, with the bias as one more line.
inline Index size_of(const Product& p) { return (p.K + 1) * width_of(p); }

inline Index size_of(const Simplex& c) {
    Index total = 0;
    for (Index p = 0; p < c.products; p++) total += size_of(c.product[p]);
    return total;
}

// Norms below this are counted again in double: float loses the squares of what is below 1e-19.
constexpr float SHORT = 1e-15f;

// Steps of one replica, from the last to the first: their gradients one by one, their sum, and their sum weighted by
// β_t / ‖∇_t‖. A step's gradient is a matrix for each product.
class Steps {
  public:
    // So many are summed by themselves: by the length alone, and never more than 16 such parts.
    static Index count(Index length) { return std::max<Index>(16, (length + 15) / 16); }
    static Index parts(Index length) { return std::max<Index>(1, (length + count(length) - 1) / count(length)); }

    // sums: of a part, twice the size of a step.
    Steps(const Simplex& c, Index r, float* sums, Scratch& scratch)
        : c(c), r(r), plain(sums), weighted(sums + size_of(c)), own(scratch.take(size_of(c))), copy(nullptr) {
        Index widest = 0;
        if (Index(seen.size()) < c.products) seen.resize(c.products);
        for (Index p = 0; p < c.products; p++) {
            widest = std::max(widest, width_of(c.product[p]));
            seen[p].clear();
        }
        copy = scratch.take(c.B * widest);
        clear();
    }

    void clear() { std::memset(plain, 0, 2 * size_of(c) * sizeof(float)); }

    // Step t; -1 where there is none: of an output before the first step.
    void add(Index t) {
        Vector squares{};
        Index at = 0;
        for (Index p = 0; p < c.products; p++) {
            const Product& product = c.product[p];
            if (has(product, t)) make(product, seen[p], product.at_end ? 0 : t, at, squares);
            at += size_of(product);
        }
        float norm = std::sqrt(sum(squares));
        if (norm < SHORT) norm = short_norm(t);
        const float weight = weight_of(norm, t < 0 ? 0.f : c.beta[r * c.T + t]);
        at = 0;
        for (Index p = 0; p < c.products; p++) {
            const Product& product = c.product[p];
            if (has(product, t)) weigh(product, seen[p], at, weight);
            at += size_of(product);
        }
    }

  private:
    bool has(const Product& p, Index t) const { return p.at_end ? t == c.length[r] - 1 : t >= 0; }

    // The norm of a gradient whose square float32 does not hold.
    float short_norm(Index t) const {
        double squares = 0;
        Index at = 0;
        for (Index p = 0; p < c.products; p++) {
            const Product& product = c.product[p];
            const Index n = width_of(product);
            const auto count = [&](Index line, Index lines) {
                const float* from = own + at + line * n;
                for (Index j = 0; j < lines * n; j++) squares += double(from[j]) * from[j];
            };
            if (has(product, t)) each_run(product, seen[p], count);
            at += size_of(product);
        }
        return static_cast<float>(std::sqrt(squares));
    }

    // The runs of lines of a product in which this step has a gradient.
    template <class Run>
    static void each_run(const Product& p, const std::vector<Index>& symbols, const Run& run) {
        for (const Index symbol : symbols) run(symbol, 1);
        if (p.input == VECTORS) run(0, p.K);
        if (p.bias) run(p.K, 1);
    }

    float weight_of(float norm, float beta) const {
        if (norm < c.tiny[r]) return beta;
        return norm == INFINITY ? NAN : beta / norm;  // 0 would leave the step out
    }

    // Adds the gradient of one product, whose matrix begins at `at`, with this step's weight.
    void weigh(const Product& p, const std::vector<Index>& symbols, Index at, float weight) {
        const Index n = width_of(p);
        each_run(p, symbols, [&](Index line, Index lines) {
            add_to(weighted + at + line * n, weight, own + at + line * n, lines * n);
        });
    }

    // The gradient of one product of step t, whose matrix begins at `at`.
    void make(const Product& p, std::vector<Index>& symbols, Index t, Index at, Vector& squares) {
        const float* given = p.right + r * p.right_next + t * p.right_step;
        if (!p.ready) pad(p, given);
        const Factor right = p.ready ? Factor{given, 0, p.right_row} : Factor{copy, 0, width_of(p)};
        const Index first = r * p.left_next + t * p.left_step;
        if (p.bias) make_bias(p, right, at, squares);
        if (p.input == VECTORS)
            make_matrix(p, {static_cast<const float*>(p.left) + first, 0, p.left_row}, right, at, squares);
        else
            make_lines(p, first, right, symbols, at, squares);
    }

    void make_bias(const Product& p, const Factor& right, Index at, Vector& squares) {
        const Index line = at + p.K * width_of(p);
        for (Index row = 0; row < c.B; row++) add_row(line, right.at + row * right.row, width_of(p), row == 0);
        count_line(line, width_of(p), squares);
    }

    void make_matrix(const Product& p, const Factor& left, const Factor& right, Index at, Vector& squares) {
        const Index n = width_of(p);
        evenly(p.K, BLOCK_ROWS, [&](Index unit, Index m) {
            evenly(n / LANES, BLOCK_VECTORS, [&](Index vector, Index v) {
                const Index to = at + unit * n + vector * LANES;
                const Factor own_left = {left.at + unit, 0, left.row};
                const Factor own_right = {right.at + vector * LANES, 0, right.row};
                dispatch<BLOCK_ROWS, BLOCK_VECTORS>(
                    m, v, [&](auto M, auto N) { whole<M, N>(own_left, own_right, n, to, squares); });
            });
        });
    }

    // The lines of those symbols that there are.
    void make_lines(const Product& p, Index first, const Factor& right, std::vector<Index>& symbols, Index at,
                    Vector& squares) {
        const Index n = width_of(p);
        symbols.clear();
        for (Index row = 0; row < c.B; row++) {
            const Index symbol = symbol_at(p.left, p.input, first + row * p.left_row);
            const bool fresh = std::find(symbols.begin(), symbols.end(), symbol) == symbols.end();
            if (fresh) symbols.push_back(symbol);
            add_row(at + symbol * n, right.at + row * right.row, n, fresh);
        }
        for (const Index symbol : symbols) count_line(at + symbol * n, n, squares);
    }

    void add_row(Index line, const float* row, Index n, bool fresh) {
        float* to = own + line;
        for (Index j = 0; j < n; j += LANES) store(to + j, fresh ? load(row + j) : load(to + j) + load(row + j));
    }

    // A line that is complete goes into the sum and into the norm.
    void count_line(Index line, Index n, Vector& squares) {
        const float* from = own + line;
        float* to = plain + line;
        for (Index j = 0; j < n; j += LANES) {
            const Vector x = load(from + j);
            store(to + j, load(to + j) + x);
            squares += x * x;
        }
    }

    // Rows of the right factor, padded with zeros, into `copy`.
    void pad(const Product& p, const float* from) const {
        const Index M = p.gates * p.H;
        const Index n = width_of(p);
        Mask inside;  // lanes of the last vector that hold columns
        for (int lane = 0; lane < LANES; lane++) inside[lane] = n - LANES + lane < M ? -1 : 0;
        for (Index row = 0; row < c.B; row++, from += p.right_row) {
            float* to = copy + row * n;
            if (p.gates == 1 && p.right_row >= n) {  // so much may be read
                for (Index j = 0; j < n - LANES; j += LANES) store(to + j, load(from + j));
                store(to + n - LANES, inside ? load(from + n - LANES) : Vector{});
                continue;
            }
            for (Index g = 0; g < p.gates; g++) std::memcpy(to + g * p.H, from + g * p.right_gate, p.H * sizeof(float));
            std::memset(to + M, 0, (n - M) * sizeof(float));
        }
    }

    // One block of a matrix, at `at`: made, and counted as are lines.
    template <int M, int N>
    void whole(const Factor left, const Factor right, Index n, Index at, Vector& squares) const {
        float* const step = own + at;
        float* const all = plain + at;
        Vector total[M][N] = {};
        sum_outer(1, c.B, left, right, total);
        Vector own_squares[N] = {};
        for (int m = 0; m < M; m++)
            for (int j = 0; j < N; j++) {
                const Index lane = m * n + j * LANES;
                const Vector x = total[m][j];
                store(step + lane, x);
                store(all + lane, load(all + lane) + x);
                own_squares[j] += x * x;
            }
        for (int j = 0; j < N; j++) squares += own_squares[j];
    }

    const Simplex& c;
    const Index r;
    float *const plain, *const weighted, *const own;
    float* copy;
    static thread_local std::vector<std::vector<Index>> seen;  // by each product in this step: its symbols
};
thread_local std::vector<std::vector<Index>> Steps::seen;

}  // namespace
