// Gradients step by step, and the simplex direction that is made of them.

#pragma once

#include <cmath>
#include <vector>

#include "products.h"
#include "scratch.h"

namespace {

Index padded(Index n) { return (n + LANES - 1) / LANES * LANES; }

// Steps of one replica, from the last to the first: their gradients one by one, their sum, and their sum weighted by
// β_t / ‖∇_t‖. A step's gradient is a matrix for each product, its columns padded, with the bias as one more line.
class Steps {
  public:
    // So many are summed by themselves: by the length alone, and never more than 16 such parts.
    static Index count(Index length) { return std::max<Index>(16, (length + 15) / 16); }
    static Index parts(Index length) { return std::max<Index>(1, (length + count(length) - 1) / count(length)); }

    static Index size(const Simplex& c) {
        Index total = 0;
        for (Index p = 0; p < c.products; p++) total += (c.product[p].K + 1) * width(c.product[p]);
        return total;
    }
    static Index width(const Product& p) { return padded(p.gates * p.H); }

    // sums: of a part, twice the size of a step.
    Steps(const Simplex& c, Index r, float* sums, Scratch& scratch)
        : c(c), r(r), plain(sums), weighted(sums + size(c)), own(scratch.take(size(c))), copy(nullptr) {
        Index widest = 0;
        if (Index(seen.size()) < c.products) seen.resize(c.products);
        for (Index p = 0; p < c.products; p++) {
            widest = std::max(widest, width(c.product[p]));
            seen[p].clear();
        }
        copy = scratch.take(c.B * widest);
        clear();
    }

    void clear() { std::memset(plain, 0, 2 * size(c) * sizeof(float)); }

    // Step t; -1 where there is none: of an output before the first step.
    void add(Index t) {
        Vector squares{};
        Index at = 0;
        for (Index p = 0; p < c.products; p++) {
            const Product& product = c.product[p];
            if (has(product, t)) add(product, p, product.at_end ? 0 : t, at, squares);
            at += (product.K + 1) * width(product);
        }
        const float norm = std::sqrt(sum(squares)), beta = t < 0 ? 0.f : c.beta[r * c.T + t];
        const float weight = norm < 1e-8f ? beta : norm == INFINITY ? NAN : beta / norm;  // 0 would leave the step out
        at = 0;
        for (Index p = 0; p < c.products; p++) {
            const Product& product = c.product[p];
            const Index n = width(product);
            const auto reweigh = [&](Index line, Index count) {
                const float* from = own + at + line * n;
                float* to = weighted + at + line * n;
                for (Index j = 0; j < count * n; j += LANES) store(to + j, load(to + j) + weight * load(from + j));
            };
            if (has(product, t)) {
                for (const Index line : seen[p]) reweigh(line, 1);
                if (product.input == VECTORS) reweigh(0, product.K);
                if (product.bias) reweigh(product.K, 1);
            }
            at += (product.K + 1) * n;
        }
    }

  private:
    bool has(const Product& p, Index t) const { return p.at_end ? t == c.length[r] - 1 : t >= 0; }

    // One product of step t, whose matrix begins at `at`.
    void add(const Product& p, Index number, Index t, Index at, Vector& squares) {
        const Index n = width(p);
        const float* right = p.right + r * p.right_next + t * p.right_step;
        if (!p.ready) pad(p, right), right = copy;
        const Index apart = p.ready ? p.right_row : n;
        const auto count = [&](Index line) {  // a line that is complete
            const float* done = own + at + line * n;
            float* to = plain + at + line * n;
            for (Index j = 0; j < n; j += LANES) {
                const Vector x = load(done + j);
                store(to + j, load(to + j) + x), squares += x * x;
            }
        };
        const auto add_row = [&](Index line, Index row, bool fresh) {
            float* to = own + at + line * n;
            for (Index j = 0; j < n; j += LANES)
                store(to + j, fresh ? load(right + row * apart + j) : load(to + j) + load(right + row * apart + j));
        };
        if (p.bias) {
            for (Index row = 0; row < c.B; row++) add_row(p.K, row, row == 0);
            count(p.K);
        }
        const Index first = r * p.left_next + t * p.left_step;
        if (p.input == VECTORS) {
            const float* left = static_cast<const float*>(p.left) + first;
            evenly(p.K, BLOCK_ROWS, [&](Index unit, Index m) {
                evenly(n / LANES, BLOCK_VECTORS, [&](Index vector, Index v) {
                    const Index to = at + unit * n + vector * LANES;
                    dispatch<BLOCK_ROWS, BLOCK_VECTORS>(m, v, [&](auto rows, auto vectors) {
                        whole<rows, vectors>(left + unit, p.left_row, right + vector * LANES, apart, n, own + to, plain + to, squares);
                    });
                });
            });
            return;
        }
        std::vector<Index>& symbols = seen[number];
        symbols.clear();
        for (Index row = 0; row < c.B; row++) {
            const Index where = first + row * p.left_row;
            const Index symbol = p.input == SYMBOLS_8 ? static_cast<const int8_t*>(p.left)[where]
                                                      : static_cast<const int64_t*>(p.left)[where];
            const bool fresh = std::find(symbols.begin(), symbols.end(), symbol) == symbols.end();
            if (fresh) symbols.push_back(symbol);
            add_row(symbol, row, fresh);
        }
        for (const Index line : symbols) count(line);
    }

    // Rows of the right factor, padded with zeros.
    void pad(const Product& p, const float* from) const {
        const Index M = p.gates * p.H, n = width(p);
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

    template <int M, int N>
    void whole(const float* left, Index left_row, const float* right, Index right_row, Index n, float* step, float* all,
               Vector& squares) const {
        Vector total[M][N] = {};
        for (Index row = 0; row < c.B; row++, left += left_row, right += right_row) {
            Vector b[N];
            for (int j = 0; j < N; j++) b[j] = load(right + j * LANES);
            for (int m = 0; m < M; m++)
                for (int j = 0; j < N; j++) total[m][j] += left[m] * b[j];
        }
        Vector own_squares[N] = {};
        for (int m = 0; m < M; m++)
            for (int j = 0; j < N; j++) {
                const Vector x = total[m][j];
                store(step + m * n + j * LANES, x);
                store(all + m * n + j * LANES, load(all + m * n + j * LANES) + x);
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

void add_part(float* total, const float* part, Index size) {
    for (Index j = 0; j < 2 * size; j += LANES) store(total + j, load(total + j) + load(part + j));
}

// The direction of one replica, or its gradient, from the sums of its parts: see temporal.py.
void choose(const Simplex& c, Index r, Index parts, float* sums, Index size) {
    float* const last = sums + (parts - 1) * 2 * size;
    for (Index part = parts - 1; part-- > 0;) add_part(last, sums + part * 2 * size, size);
    sums = last;
    const float *plain = sums, *weighted = sums + size;
    double gg = 0, ss = 0, gs = 0;
    for (Index j = 0; j < size; j++) {
        const double g = plain[j], s = weighted[j];
        gg += g * g, ss += s * s, gs += g * s;
    }
    const bool taken = ss > 0 && !(std::sqrt(gg) > c.psi[r]) && !(c.descent && gs <= 0);  // NaN is not above 0
    const float scale = taken ? static_cast<float>(std::sqrt(gg) / std::sqrt(ss)) : 1.f;
    const float* from = taken ? weighted : plain;
    for (Index p = 0; p < c.products; p++) {
        const Product& product = c.product[p];
        const Index M = product.gates * product.H;
        for (Index line = 0; line < product.K + (product.bias != nullptr); line++) {
            float* to = line < product.K ? product.weight + r * product.weight_next + line * M : product.bias + r * product.bias_next;
            for (Index j = 0; j < M; j++) to[j] = scale * from[line * Steps::width(product) + j];
        }
        from += (product.K + 1) * Steps::width(product);
    }
}

}  // namespace
