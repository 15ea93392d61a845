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
// in their order. So bits depend neither on threads, nor on neighbours, nor on padding. One source serves every machine:
// the vectors are the compiler's (GCC and Clang), as wide as the machine's.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>
#include <unistd.h>

#if defined(__AVX512F__)
constexpr int LANES = 16, BLOCK_ROWS = 6, BLOCK_VECTORS = 4;  // 20 of 32 registers hold sums
#elif defined(__AVX__)
constexpr int LANES = 8, BLOCK_ROWS = 4, BLOCK_VECTORS = 3;  // 12 of 16
#else
constexpr int LANES = 4, BLOCK_ROWS = 5, BLOCK_VECTORS = 4;  // NEON: 20 of 32
#endif

typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t Mask __attribute__((vector_size(LANES * sizeof(float))));
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

namespace {

// -- vectors -----------------------------------------------------------------------------------------------------

inline Vector load(const float* p) {
    Vector x;
    std::memcpy(&x, p, sizeof x);
    return x;
}

inline void store(float* p, Vector x) { std::memcpy(p, &x, sizeof x); }

template <int N>
inline float sum_lanes(const float* p) {  // halves upon halves
    typedef float Half __attribute__((vector_size(N / 2 * sizeof(float))));
    Half low, high;
    std::memcpy(&low, p, sizeof low);
    std::memcpy(&high, p + N / 2, sizeof high);
    low += high;
    float half[N / 2];
    std::memcpy(half, &low, sizeof low);
    return sum_lanes<N / 2>(half);
}

template <>
inline float sum_lanes<2>(const float* p) { return p[0] + p[1]; }

inline float sum(Vector x) {
    float lanes[LANES];
    store(lanes, x);
    return sum_lanes<LANES>(lanes);
}

// Minimax rational function of degree 9/8 on [-9.02, 9.02], beyond which tanh is 1 in float32: relative error 2e-8
// before rounding, 6 units in the last place after it. NaN passes through both choices.
inline Vector tanh_(Vector x) {
    const float end = 9.02f;
    x = x > end ? Vector{} + end : x;
    x = x < -end ? Vector{} - end : x;
    const Vector u = x * x;
    const Vector p = (((1.33186209e-8f * u + 2.05831475e-5f) * u + 3.49401403e-3f) * u + 0.133797005f) * u + 1.f;
    const Vector q = (((7.76183185e-7f * u + 3.28305934e-4f) * u + 2.58709956e-2f) * u + 0.467130154f) * u + 1.f;
    Vector y = x * p / q;
    y = y > 1.f ? Vector{} + 1.f : y;
    return y < -1.f ? Vector{} - 1.f : y;
}

inline Vector sigmoid_(Vector x) { return 0.5f * tanh_(0.5f * x) + 0.5f; }

// e^x - 1 for x <= 0, by tanh: 2 t / (1 - t), t = tanh(x / 2).
inline Vector expm1_(Vector x) {
    const Vector t = tanh_(0.5f * x);
    return 2.f * t / (1.f - t);
}

// e^x for x <= 0, below -87 none: 2^n e^r with |r| <= ln 2 / 2, the latter by its series to degree 7. NaN stays.
inline Vector exp_(Vector x) {
    const float magic = 12582912.f;  // 1.5 * 2^23: what is added to it is rounded to a whole number, in its last bits
    const Vector shifted = x * 1.44269504f + magic, n = shifted - magic;
    const Vector r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    Vector y = ((1.98412698e-4f * r + 1.38888889e-3f) * r + 8.33333333e-3f) * r + 4.16666667e-2f;
    y = (((y * r + 0.166666667f) * r + 0.5f) * r + 1.f) * r + 1.f;
    Mask bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + (127 << 23);
    Vector scale;
    std::memcpy(&scale, &bits, sizeof scale);
    return x < -87.f ? Vector{} : y * scale;
}

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

template <int A>
inline Vector slope(Vector h) {  // σ'(a) as a function of h = σ(a)
    switch (A) {
        case TANH: return 1.f - h * h;
        case SIGMOID: return h * (1.f - h);
        case RELU: return h > 0.f ? Vector{} + 1.f : Vector{};
        case ELU: return h < 0.f ? h + 1.f : Vector{} + 1.f;
        default: return Vector{} + 1.f;
    }
}

// -- threads -----------------------------------------------------------------------------------------------------

void flush_denormals() {  // vanishing gradients become denormal, which is slow and carries nothing here
#if defined(__SSE__)
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040);
#elif defined(__aarch64__)
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0" ::"r"(mode | (1 << 24)));
#endif
}

inline void pause() {
#if defined(__SSE__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// Threads that wait for work: spinning for a while, since the next call is often near, then asleep.
class Pool {
  public:
    // The process's own; a forked child gets a new one, since threads do not survive a fork. Never destroyed.
    static Pool& get() {
        static std::mutex mutex;
        static Pool* pool = nullptr;
        static pid_t owner = 0;
        std::lock_guard<std::mutex> lock(mutex);
        if (owner != getpid()) pool = new Pool, owner = getpid();
        return *pool;
    }

    // Calls work(jobs - 1) .. work(0), each once, on as many threads; the caller's is one of them.
    template <class Work>
    void run(Index threads, Index jobs, Work& work) {
        flush_denormals();
        const int helpers = static_cast<int>(std::min(threads, jobs)) - 1;
        if (helpers <= 0) {
            while (jobs > 0) work(--jobs);
            return;
        }
        std::lock_guard<std::mutex> one_caller(callers_);
        for (; started_ < helpers; started_++) std::thread(&Pool::serve, this, started_).detach();
        call_ = [](void* context, Index job) { (*static_cast<Work*>(context))(job); };
        context_ = &work;
        left_.store(jobs, std::memory_order_relaxed);
        helpers_.store(helpers, std::memory_order_relaxed);
        {
            std::lock_guard<std::mutex> lock(mutex_);
            round_ = (round_ + 1) & UINT32_MAX;
            state_.store(round_ << 32 | static_cast<uint64_t>(jobs), std::memory_order_release);
        }
        wake_.notify_all();
        take(round_);
        const auto done = [&] { return left_.load(std::memory_order_acquire) == 0; };
        if (!spin_until(done))
            while (!done()) std::this_thread::yield();
    }

  private:
    static constexpr int MICROSECONDS = 1000;  // more than lies between two calls of one update

    // Waits busily for a while, since giving the core away and getting it back costs more; whether it was worth it.
    template <class Condition>
    static bool spin_until(const Condition& done) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(MICROSECONDS);
        while (!done()) {
            if (std::chrono::steady_clock::now() > end) return false;
            for (int i = 0; i < 50 && !done(); i++) pause();
        }
        return true;
    }

    // Takes jobs of one round as long as there are any. The round is part of what is compared, so that a thread that
    // comes late finds nothing.
    void take(uint64_t round) {
        uint64_t state = state_.load(std::memory_order_acquire);
        while (state >> 32 == round && static_cast<uint32_t>(state)) {
            if (!state_.compare_exchange_weak(state, state - 1, std::memory_order_acq_rel)) continue;
            call_(context_, static_cast<uint32_t>(state) - 1);
            left_.fetch_sub(1, std::memory_order_acq_rel);
            state = state_.load(std::memory_order_acquire);
        }
    }

    void serve(int number) {
        flush_denormals();
        for (uint64_t seen = 0;;) {
            const auto fresh = [&] { return state_.load(std::memory_order_acquire) >> 32 != seen; };
            if (!spin_until(fresh)) {
                std::unique_lock<std::mutex> lock(mutex_);
                wake_.wait(lock, fresh);
            }
            seen = state_.load(std::memory_order_acquire) >> 32;
            if (number < helpers_.load(std::memory_order_relaxed)) take(seen);
        }
    }

    std::mutex callers_, mutex_;
    std::condition_variable wake_;
    std::atomic<uint64_t> state_{0};  // the round, and how many of its jobs nobody has taken yet
    std::atomic<Index> left_{0};      // jobs not done yet
    std::atomic<int> helpers_{0};
    void (*call_)(void*, Index) = nullptr;
    void* context_ = nullptr;
    uint64_t round_ = 0;
    int started_ = 0;
};

// Into how many parts of whole blocks each of R equal loads is best cut: the fewest that give the shortest time.
Index parts(Index R, Index blocks, Index threads) {
    Index best = 1, least = INT64_MAX;
    for (Index n = 1; n <= std::min(blocks, 4 * threads); n++) {
        const Index time = (R * n + threads - 1) / threads * ((blocks + n - 1) / n);
        if (time < least) best = n, least = time;
    }
    return best;
}

// A thread's own memory for one job, kept for the next.
class Scratch {
  public:
    static Scratch& fresh() {
        static thread_local Scratch own;
        if (own.blocks_.size() > 1) own.add(own.total_ - LANES), own.blocks_.erase(own.blocks_.begin(), own.blocks_.end() - 1);
        if (!own.blocks_.empty()) own.total_ = own.blocks_[0].size;
        own.used_ = 0;
        return own;
    }
    float* take(Index floats) {  // aligned; may hold anything
        floats = (floats + LANES - 1) / LANES * LANES;
        if (blocks_.empty() || used_ + floats + LANES > blocks_.back().size) add(floats), used_ = 0;
        const uintptr_t start = reinterpret_cast<uintptr_t>(blocks_.back().memory.get()), to = LANES * sizeof(float);
        float* taken = reinterpret_cast<float*>((start + to - 1) / to * to) + used_;
        used_ += floats;
        return taken;
    }

  private:
    struct Block {
        std::unique_ptr<float[]> memory;
        Index size;
    };
    void add(Index floats) {
        blocks_.push_back({std::unique_ptr<float[]>(new float[floats + LANES]), floats + LANES});
        total_ += floats + LANES;
    }
    std::vector<Block> blocks_;  // more than one only while a larger job than ever before is done
    Index used_ = 0, total_ = 0;
};

// -- matrix products ---------------------------------------------------------------------------------------------

// A matrix of K rows and some vectors of columns, cut into panels of columns that fit the registers; within a panel
// row by row. Panel p of n vectors starts at vector K * (vectors before it).
struct Panels {
    Index vectors, count;
    explicit Panels(Index vectors) : vectors(vectors), count((vectors + BLOCK_VECTORS - 1) / BLOCK_VECTORS) {}
    Index first(Index panel) const { return panel * vectors / count; }  // as even as may be
};

// C (M rows of N vectors) = or += A (M x K, in `segments` pieces of `length` columns) times a panel.
template <int M, int N>
void block(const float* A, Index lda, Index segments, Index length, Index segment, const float* panel, float* C,
           Index ldc, bool add) {
    Vector total[M][N];
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) total[m][n] = add ? load(C + m * ldc + n * LANES) : Vector{};
    for (Index s = 0; s < segments; s++)
        for (Index k = 0; k < length; k++, panel += N * LANES) {
            Vector b[N];
            for (int n = 0; n < N; n++) b[n] = load(panel + n * LANES);
            for (int m = 0; m < M; m++) {
                const float a = A[m * lda + s * segment + k];
                for (int n = 0; n < N; n++) total[m][n] += a * b[n];
            }
        }
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) store(C + m * ldc + n * LANES, total[m][n]);
}

// M (K rows of gates * H columns) in panels, its columns padded gate by gate; P: H, padded.
void pack(const float* M, Index K, Index gates, Index H, Index P, const Panels& panels, float* packed) {
    std::memset(packed, 0, K * panels.vectors * LANES * sizeof(float));
    for (Index p = 0; p < panels.count; p++) {
        const Index at = panels.first(p) * LANES, n = panels.first(p + 1) * LANES - at;
        for (Index g = 0; g < gates; g++) {
            const Index low = std::max(at, g * P), high = std::min(at + n, g * P + H);
            for (Index k = 0; low < high && k < K; k++)
                std::memcpy(packed + K * at + k * n + low - at, M + (k * gates + g) * H + low - g * P,
                            (high - low) * sizeof(float));
        }
    }
}

// The transpose of M (N x K) in panels.
void pack_transposed(const float* M, Index K, Index N, const Panels& panels, float* packed) {
    std::memset(packed, 0, K * panels.vectors * LANES * sizeof(float));
    for (Index p = 0; p < panels.count; p++) {
        const Index at = panels.first(p) * LANES, n = panels.first(p + 1) * LANES - at;
        for (Index j = at; j < std::min(at + n, N); j++)
            for (Index k = 0; k < K; k++) packed[K * at + k * n + j - at] = M[j * K + k];
    }
}

// C (M rows of N vectors) += the sum over `steps` and `rows` of left[m] times right, both of which move on from row to
// row and from step to step.
template <int M, int N>
void outer(Index steps, Index rows, const float* left, Index left_step, Index left_row, const float* right,
           Index right_step, Index right_row, float* C, Index ldc) {
    Vector total[M][N] = {};
    for (Index step = 0; step < steps; step++, left += left_step, right += right_step) {
        const float *l = left, *r = right;
        for (Index row = 0; row < rows; row++, l += left_row, r += right_row) {
            Vector b[N];
            for (int n = 0; n < N; n++) b[n] = load(r + n * LANES);
            for (int m = 0; m < M; m++)
                for (int n = 0; n < N; n++) total[m][n] += l[m] * b[n];
        }
    }
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) store(C + m * ldc + n * LANES, load(C + m * ldc + n * LANES) + total[m][n]);
}

// Calls f<M, N> with M of 1 .. BLOCK_ROWS and N of 1 .. BLOCK_VECTORS, both chosen at run time.
template <int M, int N, class F>
inline void dispatch(Index m, Index n, const F& f) {
    if constexpr (M > 1) {
        if (m < M) return dispatch<M - 1, N>(m, n, f);
    }
    if constexpr (N > 1) {
        if (n < N) return dispatch<M, N - 1>(m, n, f);
    }
    f(std::integral_constant<int, M>{}, std::integral_constant<int, N>{});
}

// f(first, size) for `total` things in blocks of at most `most`, as even as may be.
template <class F>
inline void evenly(Index total, Index most, const F& f) {
    const Index count = (total + most - 1) / most;
    for (Index i = 0; i < count; i++) {
        const Index first = i * total / count;
        f(first, (i + 1) * total / count - first);
    }
}

// C (rows x panels) = or += A times packed.
void multiply(Index rows, const float* A, Index lda, Index segments, Index length, Index segment, const float* packed,
              const Panels& panels, float* C, Index ldc, bool add) {
    const Index K = segments * length;
    for (Index p = 0; p < panels.count; p++) {
        const Index at = panels.first(p), n = panels.first(p + 1) - at;
        evenly(rows, BLOCK_ROWS, [&](Index row, Index m) {
            dispatch<BLOCK_ROWS, BLOCK_VECTORS>(m, n, [&](auto M, auto N) {
                block<M, N>(A + row * lda, lda, segments, length, segment, packed + K * at * LANES,
                            C + row * ldc + at * LANES, ldc, add);
            });
        });
    }
}

// -- temporal gradients --------------------------------------------------------------------------------------------

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

// -- one call ----------------------------------------------------------------------------------------------------

struct Sizes {
    Index H, P, gates, G, width, O;  // width: of rows of G columns, padded gate by gate; O is padded too
    explicit Sizes(const Call& c)
        : H(c.H), P((c.H + LANES - 1) / LANES * LANES), gates(c.lstm ? 4 : 1), G(gates * H), width(gates * P),
          O((c.O + LANES - 1) / LANES * LANES) {}
};

// Rows of one tile of sequences at every step; where they are not kept, at two steps in turn.
struct Track {
    float* base = nullptr;
    Index next = 0;
    bool turns = false;
    float* at(Index t) const { return base + (turns ? t & 1 : t) * next; }
};

void pad_row(const float* from, float* to, const Sizes& z) {  // G numbers to a row of `width`
    for (Index g = 0; g < z.gates; g++) {
        std::memcpy(to + g * z.P, from + g * z.H, z.H * sizeof(float));
        std::memset(to + g * z.P + z.H, 0, (z.P - z.H) * sizeof(float));
    }
}

struct Sums;
struct Readout;

// What the way back needs of the way there.
struct History {
    Track h, cell, gates;
};

// One tile: sequences [first, first + rows) of one replica.
struct Tile {
    const Call& c;
    const Sizes z;
    const Index r, first, rows, length;

    Tile(const Call& c, Index r, Index first, Index rows)
        : c(c), z(c), r(r), first(first), rows(rows), length(c.length[r]) {}

    Track kept(float* array, Index steps, Index width) const {
        return {array + (r * steps * c.B + first) * width, c.B * width, false};
    }
    // Rows outside the tracks: [R][B][H] contiguous.
    Index state(Index row) const { return (r * c.B + first + row) * z.H; }

    void read_state(const float* from, float* to) const {
        for (Index row = 0; row < rows; row++) {
            if (from) std::memcpy(to + row * z.P, from + state(row), z.H * sizeof(float));
            std::memset(to + row * z.P + (from ? z.H : 0), 0, (z.P - (from ? z.H : 0)) * sizeof(float));
        }
    }
    void write_state(const float* from, float* to) const {
        for (Index row = 0; row < rows; row++) std::memcpy(to + state(row), from + row * z.P, z.H * sizeof(float));
    }
    // Brings rows of a later step near while this one is computed.
    void fetch(const float* row, Index width) const {
        for (Index i = 0; i < rows * width; i += 16) __builtin_prefetch(row + i, 1);
    }
    void clear(float* array, Index steps, Index width, Index from) const {  // padding of rows that are handed out
        if (!array) return;
        const Track track = kept(array, steps, width);
        for (Index t = from; t < steps; t++) std::memset(track.at(t), 0, rows * width * sizeof(float));
    }

    // Inputs, and what they add to a: drive.
    Index symbol(Index t, Index row) const {
        const Index at = (r * c.T + t) * c.B + first + row;
        return c.input == SYMBOLS_8 ? static_cast<const int8_t*>(c.x)[at] : static_cast<const int64_t*>(c.x)[at];
    }
    bool known() const {  // whether all symbols and classes are
        for (Index t = 0; c.input != DENSE && c.input != VECTORS && t < length; t++)
            for (Index row = 0; row < rows; row++)
                if (const Index i = symbol(t, row); i < 0 || i >= c.I) return false;
        for (Index t = 0; c.loss == CROSS_ENTROPY && t < (c.every ? length : 1); t++)
            for (Index row = 0; row < rows; row++)
                if (const Index o = static_cast<const Index*>(c.target)[target(t, row)]; o < 0 || o >= c.O) return false;
        return true;
    }
    Index target(Index t, Index row) const { return (c.every ? r * c.T + t : r) * c.B + first + row; }
    const float* vector(Index t, Index row, Index size) const {
        return static_cast<const float*>(c.x) + ((r * c.T + t) * c.B + first + row) * size;
    }
    void make_table(float* table) const {  // symbols: rows of W_in, plus b; vectors: rows of W_in, then b
        if (c.input == DENSE) return;
        for (Index i = 0; i < c.I; i++) pad_row(c.W_in + r * c.W_in_next + i * z.G, table + i * z.width, z);
        float* bias = table + c.I * z.width;
        pad_row(c.b + r * c.b_next, bias, z);
        if (c.input != VECTORS)
            for (Index i = 0; i < c.I; i++)
                for (Index j = 0; j < z.width; j++) table[i * z.width + j] += bias[j];
    }
    void drive(Index t, const float* table, float* a) const {
        for (Index row = 0; row < rows; row++, a += z.width) {
            if (c.input == DENSE) {
                pad_row(vector(t, row, z.G), a, z);
            } else if (c.input == VECTORS) {
                const float *x = vector(t, row, c.I), *bias = table + c.I * z.width;
                for (Index j = 0; j < z.width; j += LANES) {
                    Vector total = load(bias + j);
                    for (Index i = 0; i < c.I; i++) total += x[i] * load(table + i * z.width + j);
                    store(a + j, total);
                }
            } else {
                std::memcpy(a, table + symbol(t, row) * z.width, z.width * sizeof(float));
            }
        }
    }

    // One step of the cell, in place or into other rows.
    template <int A>
    void simple(float* h) const {
        for (Index i = 0; i < rows * z.P; i += LANES) store(h + i, activate<A>(load(h + i)));
    }
    void advance(float* h) const {
        switch (c.activation[r]) {
            case TANH: return simple<TANH>(h);
            case SIGMOID: return simple<SIGMOID>(h);
            case RELU: return simple<RELU>(h);
            case ELU: return simple<ELU>(h);
        }
    }
    void advance_lstm(float* gates, const float* c_before, float* c_after, float* h) const {
        for (Index row = 0; row < rows; row++, gates += z.width)
            for (Index j = 0; j < z.P; j += LANES) {
                const Vector i = sigmoid_(load(gates + j)), f = sigmoid_(load(gates + z.P + j));
                const Vector g = tanh_(load(gates + 2 * z.P + j)), o = sigmoid_(load(gates + 3 * z.P + j));
                const Vector cell = f * load(c_before + row * z.P + j) + i * g;
                store(gates + j, i), store(gates + z.P + j, f), store(gates + 2 * z.P + j, g);
                store(gates + 3 * z.P + j, o);
                store(c_after + row * z.P + j, cell);
                store(h + row * z.P + j, o * tanh_(cell));
            }
    }

    // Where history is kept: in the arrays of the call, or in scratch, of all steps or of two in turn.
    History history(Scratch& scratch, bool all) const {
        const Index steps = all ? length + 1 : 2;
        const auto track = [&](float* array, Index width) {
            return array ? kept(array, c.T + 1, width) : Track{scratch.take(steps * rows * width), rows * width, !all};
        };
        History own;
        own.h = track(c.h, z.P);
        if (!c.lstm) return own;
        own.cell = track(c.c, z.P);
        own.gates = c.gates ? kept(c.gates, c.T, z.width) : Track{scratch.take((steps - 1) * rows * z.width), all ? rows * z.width : 0, false};
        return own;
    }

    void forward(const History& past, Scratch& scratch) const {
        const Track &h = past.h, &cell = past.cell, &gates = past.gates;
        const Panels panels(z.width / LANES);
        float* packed = scratch.take(z.H * z.width);
        float* table = scratch.take((c.I + 1) * z.width);
        pack(c.W + r * c.W_next, z.H, z.gates, z.H, z.P, panels, packed);
        make_table(table);
        read_state(c.h0, h.at(0));
        if (c.lstm) read_state(c.c0, cell.at(0));
        for (Index t = 0; t < length; t++) {
            float* a = c.lstm ? gates.at(t) : h.at(t + 1);
            drive(t, table, a);
            if (t + 1 < length) {
                fetch(h.at(t + 2), z.P);
                if (c.lstm) fetch(gates.at(t + 1), z.width), fetch(cell.at(t + 2), z.P);
            }
            multiply(rows, h.at(t), z.P, 1, z.H, 0, packed, panels, a, z.width, true);
            if (c.lstm)
                advance_lstm(a, cell.at(t), cell.at(t + 1), h.at(t + 1));
            else
                advance(a);
        }
        if (c.h_last) write_state(h.at(length), c.h_last);
        if (c.c_last) write_state(cell.at(length), c.c_last);
        if (c.pad) clear(c.h, c.T + 1, z.P, length + 1);
    }

    // -- backwards

    // δ of one step, and what flows around W.
    template <int A>
    void simple_back(const float* d, const float* h, float* delta) const {
        for (Index i = 0; i < rows * z.P; i += LANES) store(delta + i, load(d + i) * slope<A>(load(h + i)));
    }
    void pull_back(const float* d, const float* h, float* delta) const {
        switch (c.activation[r]) {
            case TANH: return simple_back<TANH>(d, h, delta);
            case SIGMOID: return simple_back<SIGMOID>(d, h, delta);
            case RELU: return simple_back<RELU>(d, h, delta);
            case ELU: return simple_back<ELU>(d, h, delta);
            default: return simple_back<IDENTITY>(d, h, delta);
        }
    }
    void pull_back_lstm(const float* dh, float* dc, const float* c_before, const float* c_after, const float* gates,
                        float* delta) const {
        for (Index row = 0; row < rows; row++, gates += z.width, delta += z.width)
            for (Index j = 0; j < z.P; j += LANES) {
                const Index at = row * z.P + j;
                const Vector i = load(gates + j), f = load(gates + z.P + j);
                const Vector g = load(gates + 2 * z.P + j), o = load(gates + 3 * z.P + j);
                const Vector tanh_c = tanh_(load(c_after + at)), dh_ = load(dh + at);
                const Vector dc_ = dh_ * o * (1.f - tanh_c * tanh_c) + load(dc + at);
                store(delta + j, dc_ * g * i * (1.f - i));
                store(delta + z.P + j, dc_ * load(c_before + at) * f * (1.f - f));
                store(delta + 2 * z.P + j, dc_ * i * (1.f - g * g));
                store(delta + 3 * z.P + j, dh_ * tanh_c * o * (1.f - o));
                store(dc + at, dc_ * f);
            }
    }
    // Sums of squares of each row of one or two states.
    void squares(const float* one, const float* two, float* result) const {
        Mask inside;  // lanes of the last vector that hold units
        for (int lane = 0; lane < LANES; lane++) inside[lane] = lane < z.H - (z.P - LANES) ? -1 : 0;
        for (Index row = 0; row < rows; row++) {
            Vector total{};
            for (const float* state : {one, two}) {
                if (!state) continue;
                for (Index j = 0; j < z.P; j += LANES) {
                    Vector x = load(state + row * z.P + j);
                    if (j == z.P - LANES) x = inside ? x : Vector{};
                    total += x * x;
                }
            }
            result[row] = sum(total);
        }
    }

    // Each adds to the tile's part of the gradients, and for each sequence to its sums.
    void readout(const Readout& out, Index t, const float* h, float* d, Sums* sums) const;
    void backward(const History& past, float* part, Sums* sums, Scratch& scratch) const;
    Simplex products(const History& past, const float* delta, const Readout& out, Product* product) const;
    void add_products(const Track& h, Index steps, Index t, const float* delta, const float* weighted, float* part) const;
    void add_inputs(Index steps, Index t, const float* delta, float* total, float* chunk) const;
};

// Of one sequence: its loss, and the pairs of Ω so far, with 1 / N still to come.
struct Sums {
    double loss = 0, excess = 0;
    Index pairs = 0;
};

// Adds one pair to Ω; returns its coefficient κ without the 1 / N of the squared form. See omega.py.
inline float add_pair(Form form, Index B, float d2, float v2, Sums& sum) {
    if (d2 < 1e-20f) return 0.f;  // a NaN counts, so that it shows
    sum.pairs++;
    if (form == SQUARED) {
        const float excess = v2 / d2 - 1.f;
        sum.excess += static_cast<double>(excess) * excess;
        return 4.f * excess / d2;
    }
    const float d = std::sqrt(d2), v = std::sqrt(v2), excess = v / d - 1.f;
    sum.excess += static_cast<double>(excess) * excess;
    return v > 0.f ? 2.f * excess / (static_cast<float>(B) * (v * d)) : 0.f;
}

constexpr Index SUM_ROWS = 64;  // about as many rows are summed before the sum is added to the others

// What one tile adds up, one after the other: dW; its part by Ω; dW_in and db; dW_out and db_out.
struct Room {
    Index W, omega, inputs, outputs;
    Room(const Call& c, const Sizes& z)
        : W(z.H * z.width),
          omega(c.alpha ? W : 0),
          inputs(c.input == DENSE ? 0 : (c.I + 1) * z.width),
          outputs(c.loss == NONE ? 0 : (z.H + 1) * z.O) {}
    Index size() const { return W + omega + inputs + outputs; }
};

Index tiles_back(const Call& c) {  // by the number of sequences alone
    if (c.simplex) return 1;
    return std::min<Index>(8, (c.B + 2 * BLOCK_ROWS - 1) / (2 * BLOCK_ROWS));
}

// W_out of one replica, and where a tile adds up its gradient.
struct Readout {
    Panels columns, units;
    const float* b_out;
    float *there, *back;     // W_out and its transpose, in panels
    float* e;                // the output, then the derivative of the loss by it: rows of O, padded
    float *total, *bias;     // dW_out, db_out

    Readout(const Tile& tile, float* part, Scratch& scratch)
        : columns(tile.z.O / LANES), units(tile.z.P / LANES), b_out(tile.c.b_out + tile.r * tile.c.b_out_next) {
        const Sizes& z = tile.z;
        const Room room(tile.c, z);
        const float* W_out = tile.c.W_out + tile.r * tile.c.W_out_next;
        there = scratch.take(z.H * z.O), back = scratch.take(tile.c.O * z.P), e = scratch.take(tile.rows * z.O);
        total = part + room.size() - room.outputs, bias = total + z.H * z.O;
        pack(W_out, z.H, 1, tile.c.O, z.O, columns, there);
        pack_transposed(W_out, tile.c.O, z.H, units, back);
    }
};

// Softmax of `padded` numbers, of which O count, in place; returns the loss, -log of the right one's share.
float cross_entropy(float* y, Index O, Index padded, Index right) {
    for (Index o = O; o < padded; o++) y[o] = -INFINITY;
    float most = y[0];
    for (Index o = 1; o < O; o++) most = y[o] > most ? y[o] : most;
    const float of_right = y[right] - most;
    Vector all{};
    for (Index o = 0; o < padded; o += LANES) {
        const Vector share = exp_(load(y + o) - most);
        store(y + o, share);
        all += share;
    }
    const float total = sum(all);
    for (Index o = 0; o < padded; o += LANES) store(y + o, load(y + o) / total);
    return std::log(total) - of_right;
}

// Output and loss after step t, and what they send back: added to d.
void Tile::readout(const Readout& out, Index t, const float* h, float* d, Sums* sums) const {
    const float terms = static_cast<float>(c.B) * static_cast<float>(c.every ? length : 1);
    float* e = c.e ? kept(c.e, c.every ? c.T : 1, z.O).at(c.every ? t : 0) : out.e;
    for (Index row = 0; row < rows; row++) std::memcpy(e + row * z.O, out.b_out, c.O * sizeof(float));
    for (Index row = 0; row < rows; row++) std::memset(e + row * z.O + c.O, 0, (z.O - c.O) * sizeof(float));
    multiply(rows, h, z.P, 1, z.H, 0, out.there, out.columns, e, z.O, true);
    for (Index row = 0; row < rows; row++) {
        float* y = e + row * z.O;
        if (c.loss == CROSS_ENTROPY) {
            const Index right = static_cast<const Index*>(c.target)[target(t, row)];
            sums[row].loss += cross_entropy(y, c.O, z.O, right);
            y[right] -= 1.f;
        } else {
            y[0] -= static_cast<const float*>(c.target)[target(t, row)];
            sums[row].loss += y[0] * y[0];
            y[0] *= 2.f;
        }
        for (Index o = 0; o < z.O; o += LANES) {
            const Vector error = load(y + o) / terms;
            store(y + o, error), store(out.bias + o, load(out.bias + o) + error);
        }
    }
    for (Index p = 0; c.dW && !c.simplex && p < out.columns.count; p++)
        evenly(z.H, BLOCK_ROWS, [&](Index unit, Index m) {
            const Index at = out.columns.first(p) * LANES;
            dispatch<BLOCK_ROWS, BLOCK_VECTORS>(m, out.columns.first(p + 1) - out.columns.first(p), [&](auto M, auto N) {
                outer<M, N>(1, rows, h + unit, 0, z.P, e + at, 0, z.O, out.total + unit * z.O + at, z.O);
            });
        });
    multiply(rows, e, z.O, 1, c.O, 0, out.back, out.units, d, z.P, true);
}

void Tile::backward(const History& past, float* part, Sums* sums, Scratch& scratch) const {
    const Track &h = past.h, &cell = past.cell, &gates = past.gates;
    const Panels panels(z.P / LANES);
    const Room room(c, z);
    const Index state_size = rows * z.P, chunk = std::max<Index>(1, SUM_ROWS / rows);  // steps
    const bool with_omega = c.alpha && c.alpha[r] != 0, norms = with_omega || c.d2;
    float* packed = scratch.take(z.G * z.P);
    float* d = scratch.take(state_size);
    float* dc = scratch.take(state_size);
    float* delta = scratch.take(chunk * rows * z.width);    // of the steps of a chunk, latest first
    float* weighted = scratch.take(chunk * state_size);     // κ δ, for LSTM κ v, likewise
    float* inputs = scratch.take(room.inputs);
    float* d2 = scratch.take(rows);
    float* v2 = scratch.take(rows);
    pack_transposed(c.W + r * c.W_next, z.G, z.H, panels, packed);
    read_state(c.dh_last, d);
    if (c.lstm) read_state(c.dc_last, dc);
    std::optional<Readout> out;
    if (c.loss != NONE) out.emplace(*this, part, scratch);
    Product product[3];
    std::optional<Simplex> all;
    std::optional<Steps> steps;  // instead of chunks
    float* direction = nullptr;
    if (c.simplex) {
        all = products(past, delta, *out, product);
        direction = scratch.take(4 * Steps::size(*all));
        steps.emplace(*all, r, direction + 2 * Steps::size(*all), scratch);
        std::memset(direction, 0, 2 * Steps::size(*all) * sizeof(float));
    }
    if (out && !c.every) readout(*out, length - 1, h.at(length), d, sums);
    const float* dc_now = c.lstm ? dc : nullptr;
    Index held = 0;  // steps in the chunk
    for (Index t = length; t-- > 0;) {
        const Index at = (r * c.T + t) * c.B + first;  // of the tile's first row in RTB
        float* delta_now = delta + held * rows * z.width;
        if (c.dh)
            for (Index row = 0; row < rows; row++)
                for (Index j = 0; j < z.H; j++) d[row * z.P + j] += c.dh[(at + row) * z.H + j];
        if (c.every) readout(*out, t, h.at(t + 1), d, sums);
        if (c.d) std::memcpy(kept(c.d, c.T, z.P).at(t), d, state_size * sizeof(float));
        if (norms && (c.dh || c.every || t == length - 1)) squares(d, dc_now, d2);
        if (c.lstm)
            pull_back_lstm(d, dc, cell.at(t), cell.at(t + 1), gates.at(t), delta_now);
        else
            pull_back(d, h.at(t + 1), delta_now);
        if (t > 0) {
            if (c.lstm) fetch(gates.at(t - 1), z.width), fetch(cell.at(t - 1), z.P);
            fetch(h.at(t - 1), z.P);
        }
        multiply(rows, delta_now, z.width, z.gates, z.H, z.P, packed, panels, d, z.P, false);
        if (norms) squares(d, dc_now, v2);
        if (with_omega)
            for (Index row = 0; row < rows; row++) {
                const float kappa = add_pair(static_cast<Form>(c.form), c.B, d2[row], v2[row], sums[row]);
                const float* factor = (c.lstm ? d : delta_now) + row * z.P;  // see add_products
                float* to = weighted + (held * rows + row) * z.P;
                for (Index j = 0; j < z.P; j += LANES) store(to + j, kappa == 0.f ? Vector{} : kappa * load(factor + j));
            }
        if (c.delta) std::memcpy(kept(c.delta, c.T, z.width).at(t), delta_now, rows * z.width * sizeof(float));
        if (c.v) std::memcpy(kept(c.v, c.T, z.P).at(t), d, state_size * sizeof(float));
        if (c.d2) std::memcpy(c.d2 + at, d2, rows * sizeof(float)), std::memcpy(c.v2 + at, v2, rows * sizeof(float));
        if (c.dz)
            for (Index row = 0; row < rows; row++)
                for (Index g = 0; g < z.gates; g++)
                    std::memcpy(c.dz + (at + row) * z.G + g * z.H, delta_now + row * z.width + g * z.P,
                                z.H * sizeof(float));
        std::swap(d2, v2);  // without direct parts d_{t-1} is v_t
        if (steps) {
            steps->add(t);
            if (t % Steps::count(length) == 0) add_part(direction, direction + 2 * Steps::size(*all), Steps::size(*all)), steps->clear();
        } else if (++held == chunk || t == 0) {
            if (c.dW) add_products(h, held, t, delta, with_omega ? weighted : nullptr, part);
            if (c.dW && room.inputs) add_inputs(held, t, delta, part + room.W + room.omega, inputs);
            held = 0;
        }
    }
    if (steps && length == 0) steps->add(-1), add_part(direction, direction + 2 * Steps::size(*all), Steps::size(*all));
    if (steps) choose(*all, r, 1, direction, Steps::size(*all));
    if (c.dh0) write_state(d, c.dh0);
    if (c.dc0) write_state(dc, c.dc0);
    if (c.pad) {
        clear(c.delta, c.T, z.width, length);
        clear(c.d, c.T, z.P, length);
        clear(c.v, c.T, z.P, length);
        if (c.every) clear(c.e, c.T, z.O, length);
        for (Index t = length; t < c.T; t++) {
            const Index at = (r * c.T + t) * c.B + first;
            if (c.d2) std::memset(c.d2 + at, 0, rows * sizeof(float)), std::memset(c.v2 + at, 0, rows * sizeof(float));
            if (c.dz) std::memset(c.dz + at * z.G, 0, rows * z.G * sizeof(float));
        }
    }
}

// What makes the gradients of one step, where the tile is the whole mini-batch and δ and e are of the step at hand.
Simplex Tile::products(const History& past, const float* delta, const Readout& out, Product* product) const {
    const Index vector = c.input == VECTORS ? c.I : 1;
    product[0] = {VECTORS, z.H, z.H, z.gates, 0, past.h.next, z.P, 0, 0, z.width, z.P, 0, z.gates == 1,
                  c.dW_next, 0, past.h.at(0), delta, c.dW, nullptr};
    product[1] = {c.input, c.I, z.H, z.gates, c.T * c.B * vector, c.B * vector, vector, 0, 0, z.width, z.P, 0, z.gates == 1,
                  c.dW_in_next, c.db_next, c.x, delta, c.dW_in, c.db};
    product[2] = {VECTORS, z.H, c.O, 1, 0, past.h.next, z.P, 0, 0, z.O, 0, !c.every, 1,
                  c.dW_out_next, c.db_out_next, past.h.at(c.every ? 1 : length), out.e, c.dW_out, c.db_out};
    Simplex all = *c.simplex;
    all.products = 3, all.product = product;
    return all;
}

// Steps t + steps - 1 down to t: dW += Σ h_{t-1}ᵀ δ_t and, by Ω, Σ κ_t v_tᵀ δ_t. Since v_t = δ_t Wᵀ, the latter is W S,
// S = Σ κ_t δ_tᵀ δ_t; S is symmetric, and half of it cheaper than the whole product. LSTM has four times as many δ as
// units, and makes the product itself.
void Tile::add_products(const Track& h, Index steps, Index t, const float* delta, const float* weighted,
                        float* part) const {
    const float* before = h.at(t + steps - 1);  // the state before the latest step
    const Index vectors = z.width / LANES;
    evenly(z.H, BLOCK_ROWS, [&](Index unit, Index m) {
        const auto add = [&](const float* left, Index left_step, Index first_vector, float* total) {
            evenly(vectors - first_vector, BLOCK_VECTORS, [&](Index vector, Index n) {
                const Index at = (first_vector + vector) * LANES;
                dispatch<BLOCK_ROWS, BLOCK_VECTORS>(m, n, [&](auto M, auto N) {
                    outer<M, N>(steps, rows, left + unit, left_step, z.P, delta + at, rows * z.width, z.width,
                                total + unit * z.width + at, z.width);
                });
            });
        };
        add(before, -h.next, 0, part);
        if (weighted) add(weighted, rows * z.P, c.lstm ? 0 : unit / LANES, part + z.H * z.width);
    });
}

// The same steps: dW_in and db.
void Tile::add_inputs(Index steps, Index t, const float* delta, float* total, float* chunk) const {
    const Index size = (c.I + 1) * z.width;
    std::memset(chunk, 0, size * sizeof(float));
    for (Index step = t + steps; step-- > t;)
        for (Index row = 0; row < rows; row++, delta += z.width) {
            const auto add = [&](Index line, float factor) {
                float* to = chunk + line * z.width;
                for (Index j = 0; j < z.width; j += LANES) store(to + j, load(to + j) + factor * load(delta + j));
            };
            if (c.input == VECTORS) {
                for (Index k = 0; k < c.I; k++) add(k, vector(step, row, c.I)[k]);
                add(c.I, 1.f);
            } else {
                add(symbol(step, row), 1.f);
            }
        }
    for (Index j = 0; j < size; j += LANES) store(total + j, load(total + j) + load(chunk + j));
}

// W S for a symmetric S of which what lies right of the diagonal is known: H rows of P.
float* times_symmetric(const float* W, float* S, const Sizes& z, Scratch& scratch) {
    const Panels panels(z.P / LANES);
    float *packed = scratch.take(z.H * z.P), *result = scratch.take(z.H * z.P);
    for (Index k = 0; k < z.H; k++)
        for (Index j = 0; j < k; j++) S[k * z.P + j] = S[j * z.P + k];
    for (Index p = 0; p < panels.count; p++) {
        const Index at = panels.first(p) * LANES, n = panels.first(p + 1) * LANES - at;
        for (Index k = 0; k < z.H; k++) std::memcpy(packed + z.H * at + k * n, S + k * z.P + at, n * sizeof(float));
    }
    multiply(z.H, W, z.H, 1, z.H, 0, packed, panels, result, z.P, false);
    return result;
}

// The gradients of one replica from the parts of its tiles.
void add_up(const Call& c, Index r, Index tiles, float* total, const Sums* sums, Scratch& scratch) {
    const Sizes z(c);
    const Room room(c, z);
    for (Index tile = 1; tile < tiles; tile++)
        for (Index j = 0; j < room.size(); j += LANES)
            store(total + j, load(total + j) + load(total + tile * room.size() + j));
    Sums all;
    for (Index b = 0; b < c.B; b++)
        all.loss += sums[b].loss, all.excess += sums[b].excess, all.pairs += sums[b].pairs;
    if (c.losses) c.losses[r] = static_cast<float>(all.loss / static_cast<double>(c.B * (c.every ? std::max<Index>(1, c.length[r]) : 1)));
    if (c.alpha && c.alpha[r] == 0) c.omega[r] = NAN;
    if (c.alpha && c.alpha[r] != 0) {
        const Index pairs = std::max<Index>(1, all.pairs);
        c.omega[r] = static_cast<float>(all.excess / static_cast<double>(c.form == SQUARED ? pairs : c.B));
        const float factor = c.form == SQUARED ? c.alpha[r] / static_cast<float>(pairs) : c.alpha[r];
        float* by_omega = total + room.W;
        if (!c.lstm) by_omega = times_symmetric(c.W + r * c.W_next, by_omega, z, scratch);
        for (Index j = 0; j < room.W; j += LANES) store(total + j, load(total + j) + factor * load(by_omega + j));
    }
    if (!c.dW || c.simplex) return;
    // `lines` rows, then what becomes the bias's gradient, without their padding
    const auto hand_out = [&](const float* from, Index lines, Index gates, Index H, Index P, float* to, float* bias) {
        for (Index line = 0; line < lines + (bias != nullptr); line++)
            for (Index g = 0; g < gates; g++)
                std::memcpy((line < lines ? to + (line * gates) * H : bias) + g * H, from + (line * gates + g) * P,
                            H * sizeof(float));
    };
    hand_out(total, z.H, z.gates, z.H, z.P, c.dW + r * c.dW_next, nullptr);
    float* inputs = total + room.W + room.omega;
    float* bias = inputs + c.I * z.width;
    if (room.inputs && c.input != VECTORS)
        for (Index i = 0; i < c.I; i++)
            for (Index j = 0; j < z.width; j++) bias[j] += inputs[i * z.width + j];
    if (room.inputs)
        hand_out(inputs, c.I, z.gates, z.H, z.P, c.dW_in + r * c.dW_in_next, c.db + r * c.db_next);
    if (room.outputs)
        hand_out(inputs + room.inputs, z.H, 1, c.O, z.O, c.dW_out + r * c.dW_out_next, c.db_out + r * c.db_out_next);
}

// Calls each(replica, tile, first sequence, rows) for tiles as even as may be. Jobs are taken from the end, where the
// longest replicas are.
template <class Each>
void over_tiles(const Call& c, Index tiles, const Each& each) {
    std::vector<Index> order(c.R);
    for (Index r = 0; r < c.R; r++) order[r] = r;
    std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return c.length[a] < c.length[b]; });
    auto work = [&](Index job) {
        const Index tile = job % tiles, first = tile * c.B / tiles;
        each(order[job / tiles], tile, first, (tile + 1) * c.B / tiles - first);
    };
    Pool::get().run(c.threads, c.R * tiles, work);
}

constexpr Index TILE_ROWS = 64;  // forward: more sequences do not share a nearer cache

// -- a layer between recurrences -----------------------------------------------------------------------------------

}  // namespace

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

namespace {

// Philox4x64-10 (Salmon et al., 2011) as NumPy counts it: block n of a stream, 16 numbers of 16 bits.
void philox(const uint64_t* stream, uint64_t n, uint16_t* numbers) {
    uint64_t key[2] = {stream[0], stream[1]}, at[4] = {n + 1, 0, stream[2], stream[3]};
    for (int round = 0; round < 10; round++) {
        const unsigned __int128 one = static_cast<unsigned __int128>(at[0]) * 0xD2E7470EE14C6C93;
        const unsigned __int128 two = static_cast<unsigned __int128>(at[2]) * 0xCA5A826395121157;
        at[0] = static_cast<uint64_t>(two >> 64) ^ at[1] ^ key[0], at[1] = static_cast<uint64_t>(two);
        at[2] = static_cast<uint64_t>(one >> 64) ^ at[3] ^ key[1], at[3] = static_cast<uint64_t>(one);
        key[0] += 0x9E3779B97F4A7C15, key[1] += 0xBB67AE8584CAA73B;
    }
    for (int i = 0; i < 16; i++) numbers[i] = static_cast<uint16_t>(at[i / 4] >> (16 * (i % 4)));
}

constexpr Index LINEAR_ROWS = 48;  // taken at a time: x, y and their derivatives stay near

constexpr Index PART_ROWS = 42 * LINEAR_ROWS;  // of a part, whose sums are added up by themselves

Index parts_of(const Linear& c) { return (c.N + PART_ROWS - 1) / PART_ROWS; }

// Calls each(replica, part, first row, rows) for the parts of the rows of every replica. All but the last are of one size,
// so that rows of zeros at the end, padding, change no sum.
template <class Each>
void over_rows(const Linear& c, const Each& each) {
    const Index parts = parts_of(c);
    auto work = [&](Index job) {
        const Index part = job % parts, first = part * PART_ROWS;
        each(job / parts, part, first, std::min(PART_ROWS, c.N - first));
    };
    Pool::get().run(c.threads, c.R * parts, work);
}

// f(first, size) for rows [first, first + rows) in blocks of LINEAR_ROWS.
template <class F>
void in_blocks(Index first, Index rows, const F& f) {
    for (Index at = first; at < first + rows; at += LINEAR_ROWS) f(at, std::min(LINEAR_ROWS, first + rows - at));
}

}  // namespace

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
