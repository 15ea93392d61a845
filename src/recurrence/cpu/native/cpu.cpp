// The recurrence of R networks at once on CPUs: forward, backward, and the product that makes the gradient of W.
//
// reference.py is the specification; cpu.py compiles and calls this file. Row vectors, step t counted from 0:
//     a_t = drive_t + h_{t-1} W,   h_t = σ(a_t)      (LSTM: gates i, f, g, o and the cell state c)
// R replicas, T steps, B sequences, H units, G = gates * H columns of W, I inputs. An array of rows is [R][T][B][width];
// its rows are padded to whole vectors, gate by gate: H to P, G to gates * P.
//
// Work is divided over replicas and tiles of their sequences. On the way back a tile also makes its part of the
// gradients, while δ is near: δ and v are never kept, and h, c and the gates are read once. The tiles there depend on the
// number of sequences alone, every sum runs over a fixed number of rows in a fixed order, and the tiles' parts are added

#include "backward.h"
#include "linear.h"
#include "noise.h"
#include "tiles.h"

extern "C" {

int lanes() { return LANES; }

void add_noise(const Noise* c) {
    constexpr Index ROWS = 1024;  // of a job
    const Index jobs = (c->N + ROWS - 1) / ROWS;
    auto work = [&](Index job) {
        const Index r = job / jobs, first = job % jobs * ROWS, end = std::min(c->N, first + ROWS);
        uint16_t numbers[16];
        for (Index row = first; row < end; row++) {
            const float* x = c->x + r * c->x_next + row * c->x_row;
            float* y = c->y + (r * c->N + row) * c->K;
            for (Index k = 0; k < c->K;) {
                const Index at = row * c->K + k, within = at % 16;  // of the replica's numbers
                if (within == 0 || (k == 0 && row == first)) philox(c->stream + 4 * r, at / 16, numbers);
                const Index run = std::min(16 - within, c->K - k);
                for (Index i = 0; i < run; i++) y[k + i] = x[k + i] + c->quantiles[numbers[within + i]];
                k += run;
            }
        }
    };
    Pool::get().run(c->threads, c->R * jobs, work);
}

void linear_forward(const Linear* c) {
    const Index M = padded(c->M);
    over_rows(*c, [&](Index r, Index, Index first, Index rows) {
        Scratch& scratch = Scratch::fresh();
        const Panels panels(M / LANES);
        float *packed = scratch.take(c->K * M), *out = scratch.take(LINEAR_ROWS * M);
        pack(c->W + r * c->W_next, c->K, 1, c->M, M, panels, packed);
        in_blocks(first, rows, [&](Index at, Index n) {
            for (Index row = 0; row < n; row++) {
                std::memcpy(out + row * M, c->b + r * c->b_next, c->M * sizeof(float));
                std::memset(out + row * M + c->M, 0, (M - c->M) * sizeof(float));
            }
            multiply(n, c->x + r * c->x_next + at * c->x_row, c->x_row, 1, c->K, 0, packed, panels, out, M, true);
            for (Index j = 0; c->tanh && j < n * M; j += LANES) store(out + j, tanh_(load(out + j)));
            for (Index row = 0; row < n; row++)
                std::memcpy(c->y + ((r * c->N) + at + row) * c->M, out + row * M, c->M * sizeof(float));
        });
    });
}

// The parts' sums are added in their order.
void linear_backward(const Linear* c) {
    const Index parts = parts_of(*c), M = padded(c->M), K = padded(c->K), size = (c->K + 1) * M;
    static thread_local std::vector<float> memory;
    memory.resize(std::max<size_t>(memory.size(), c->R * parts * size));
    float* const sums = memory.data();
    over_rows(*c, [&](Index r, Index part, Index first, Index rows) {
        Scratch& scratch = Scratch::fresh();
        const Panels back(K / LANES);
        float *packed = scratch.take(c->M * K), *da = scratch.take(LINEAR_ROWS * M), *dx = scratch.take(LINEAR_ROWS * K);
        float *dW = sums + (r * parts + part) * size, *db = dW + c->K * M;
        std::memset(dW, 0, size * sizeof(float));
        if (c->dx) pack_transposed(c->W + r * c->W_next, c->M, c->K, back, packed);
        in_blocks(first, rows, [&](Index at, Index n) {
            const float* x = c->x + r * c->x_next + at * c->x_row;
            for (Index row = 0; row < n; row++) {
                const Index from = (r * c->N + at + row) * c->M;
                float* to = da + row * M;
                std::memcpy(to, c->dy + from, c->M * sizeof(float));
                std::memset(to + c->M, 0, (M - c->M) * sizeof(float));
                for (Index j = 0; c->tanh && j < c->M; j++) to[j] *= 1.f - c->y[from + j] * c->y[from + j];
                for (Index j = 0; j < M; j += LANES) store(db + j, load(db + j) + load(to + j));
            }
            evenly(c->K, BLOCK_ROWS, [&](Index unit, Index m) {
                evenly(M / LANES, BLOCK_VECTORS, [&](Index vector, Index v) {
                    dispatch<BLOCK_ROWS, BLOCK_VECTORS>(m, v, [&](auto rows_, auto vectors_) {
                        outer<rows_, vectors_>(1, n, x + unit, 0, c->x_row, da + vector * LANES, 0, M,
                                               dW + unit * M + vector * LANES, M);
                    });
                });
            });
            if (!c->dx) return;
            multiply(n, da, M, 1, c->M, 0, packed, back, dx, K, false);
            for (Index row = 0; row < n; row++)
                std::memcpy(c->dx + (r * c->N + at + row) * c->K, dx + row * K, c->K * sizeof(float));
        });
    });
    for (Index r = 0; r < c->R; r++) {
        float* total = sums + r * parts * size;
        for (Index part = 1; part < parts; part++)
            for (Index j = 0; j < size; j++) total[j] += total[part * size + j];
        for (Index k = 0; k <= c->K; k++)
            std::memcpy(k < c->K ? c->dW + (r * c->K + k) * c->M : c->db + r * c->M, total + k * M, c->M * sizeof(float));
    }
}

// Gradients replaced by the simplex direction, with its sign: what is subtracted from the parameters.
void simplex(const Simplex* c) {
    const Index size = Steps::size(*c);
    Index parts = 1;
    for (Index r = 0; r < c->R; r++) parts = std::max(parts, Steps::parts(c->length[r]));
    static thread_local std::vector<float> memory;
    memory.resize(std::max<size_t>(memory.size(), c->R * parts * 2 * size));
    float* const sums = memory.data();
    std::vector<std::atomic<Index>> left(c->R);  // parts of each replica that are not done
    for (Index r = 0; r < c->R; r++) left[r] = Steps::parts(c->length[r]);
    auto work = [&](Index job) {
        const Index r = job / parts, part = job % parts, length = c->length[r], count = Steps::count(length);
        if (part >= Steps::parts(length)) return;
        float* const own = sums + r * parts * 2 * size;
        Steps steps(*c, r, own + part * 2 * size, Scratch::fresh());
        for (Index t = std::min((part + 1) * count, length); t-- > part * count;) steps.add(t);
        if (length == 0) steps.add(-1);
        if (left[r].fetch_sub(1, std::memory_order_acq_rel) == 1) choose(*c, r, Steps::parts(length), own, size);
    };
    Pool::get().run(c->threads, c->R * parts, work);
}

// All steps, for the state after the last one; h of every step and what the way back needs where there are arrays for it.
// Returns 0, or 1 if some symbol is none of those there are; what is handed out is then worth nothing.
int forward(const Call* c) {
    std::atomic<int> unknown{0};
    const Index blocks = (c->B + BLOCK_ROWS - 1) / BLOCK_ROWS;
    const Index tiles = std::max(parts(c->R, blocks, c->threads), (c->B + TILE_ROWS - 1) / TILE_ROWS);
    over_tiles(*c, tiles, [&](Index r, Index, Index first, Index rows) {
        Scratch& scratch = Scratch::fresh();
        const Tile tile(*c, r, first, rows);
        if (tile.known())
            tile.forward(tile.history(scratch, false), scratch);
        else
            unknown = 1;
    });
    return unknown;
}

int backward(const Call* c);

// A whole update with the simplex direction where there are more threads than replicas, so that tiles of one replica go
// back side by side: first all factors, then the steps' gradients, which need those of all tiles.
int backward_apart(const Call& c) {
    const Sizes z(c);
    const Index rows = c.T * c.B, outputs = c.every ? rows : c.B, vector = c.input == VECTORS ? c.I : 1;
    const Index sizes[] = {c.R * (rows + c.B) * z.P, c.R * rows * z.width, c.R * outputs * z.O, c.R * c.B * z.H};
    static thread_local std::vector<float> memory[4];
    for (int i = 0; i < 4; i++) memory[i].resize(std::max<size_t>(memory[i].size(), sizes[i]));
    Call first = c;
    first.simplex = nullptr, first.dW = nullptr;
    first.h = memory[0].data(), first.delta = memory[1].data(), first.e = memory[2].data();
    if (!c.h_last) first.h_last = memory[3].data();
    if (const int unknown = backward(&first)) return unknown;
    const Index h_next = (rows + c.B) * z.P, h_step = c.B * z.P, d_next = rows * z.width, d_step = c.B * z.width;
    const Product product[] = {
        {VECTORS, z.H, z.H, z.gates, h_next, h_step, z.P, d_next, d_step, z.width, z.P, 0, z.gates == 1,
         c.dW_next, 0, first.h, first.delta, c.dW, nullptr},
        {c.input, c.I, z.H, z.gates, rows * vector, c.B * vector, vector, d_next, d_step, z.width, z.P, 0, z.gates == 1,
         c.dW_in_next, c.db_next, c.x, first.delta, c.dW_in, c.db},
        {VECTORS, z.H, c.O, 1, c.every ? h_next : c.B * z.H, c.every ? h_step : 0, c.every ? z.P : z.H, outputs * z.O,
         c.every ? c.B * z.O : 0, z.O, 0, !c.every, 1, c.dW_out_next, c.db_out_next,
         c.every ? first.h + h_step : first.h_last, first.e, c.dW_out, c.db_out}};
    Simplex all = *c.simplex;
    all.products = 3, all.product = product;
    simplex(&all);
    return 0;
}

// The way back from what `forward` left in the arrays, where loss is NONE; else the whole update: forward, readout,
// loss, and back, all the gradients. A tile's history then lies in its thread's memory and may never leave the cache.
// Returns what `forward` does, for classes too.
int backward(const Call* c) {
    if (c->simplex && c->threads > c->R) return backward_apart(*c);
    std::atomic<int> unknown{0};
    const Index tiles = tiles_back(*c), size = Room(*c, Sizes(*c)).size();
    static thread_local std::vector<float> parts;  // of the calling thread: what each tile adds up
    parts.resize(std::max<size_t>(parts.size(), c->R * tiles * size));
    float* const first_part = parts.data();
    std::vector<Sums> sums(c->R * c->B);
    std::vector<std::atomic<Index>> left(c->R);  // tiles of each replica that are not done
    for (auto& of_replica : left) of_replica = tiles;
    over_tiles(*c, tiles, [&](Index r, Index number, Index first, Index rows) {
        Scratch& scratch = Scratch::fresh();
        const Tile tile(*c, r, first, rows);
        if (!tile.known()) return void(unknown = 1);
        const History past = tile.history(scratch, true);
        float* const own_parts = first_part + r * tiles * size;
        float* const part = own_parts + number * size;
        Sums* own = sums.data() + r * c->B;
        std::memset(part, 0, size * sizeof(float));
        if (c->loss != NONE) tile.forward(past, scratch);
        tile.backward(past, part, own + first, scratch);
        if (left[r].fetch_sub(1, std::memory_order_acq_rel) == 1) add_up(*c, r, tiles, own_parts, own, scratch);
    });
    return unknown;
}

}  // extern "C"
