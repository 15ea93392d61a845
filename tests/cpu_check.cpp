// The recurrence on CPUs alone, for the sanitizers: arrays of exactly the size that the calls ask for, many sizes, and
// 1 thread against 4, bit for bit. What is computed is compared with the reference in test_fused.py. `make sanitize`.

#include "../src/recurrence/cpu/native/cpu.cpp"

#include <cstdio>
#include <cstdlib>
#include <random>
#include <set>

namespace {

std::mt19937 draws(0);

struct Floats {  // on the heap, so that a step beyond either end is seen
    std::unique_ptr<float[]> data;
    size_t size;
    explicit Floats(Index n, float scale = 0) : data(new float[n]), size(n) {
        std::normal_distribution<float> normal(0, 1);
        for (Index i = 0; i < n; i++) data[i] = scale == 0 ? NAN : scale * normal(draws);
    }
    operator float*() { return data.get(); }
    bool operator==(const Floats& other) const {
        return size == other.size && std::memcmp(data.get(), other.data.get(), size * sizeof(float)) == 0;
    }
};

struct Size {
    Index R, T, B, H;
    bool lstm;
    Input input;
    int activation;
};

// One run of everything on so many threads; what it handed out, one array after the other.
std::vector<Floats> results(const Size& s, Index threads) {
    draws.seed(1);
    const bool classify = s.activation % 2 == 0;
    const Index gates = s.lstm ? 4 : 1, G = gates * s.H, P = (s.H + LANES - 1) / LANES * LANES, I = 5;
    const Index O = classify ? (s.H % 2 ? 19 : 3) : 1;
    const Index states = s.R * s.B * s.H, rows = s.R * s.T * s.B;
    std::vector<Index> length(s.R), classes(rows);
    for (Index r = 0; r < s.R; r++) length[r] = std::max<Index>(0, s.T - 2 * r);
    for (Index& one : classes) one = static_cast<Index>(draws() % O);
    std::vector<int32_t> activation(s.R, s.activation);
    std::vector<Index> form(s.R);
    for (Index r = 0; r < s.R; r++) form[r] = (r + classify) % 2 ? SQUARED : PLAIN;
    std::vector<int8_t> symbols(rows);
    for (int8_t& one : symbols) one = static_cast<int8_t>(draws() % I);
    const std::vector<Index> wide(symbols.begin(), symbols.end());
    Floats numbers(rows, 1);
    Floats x(s.input == VECTORS ? rows * I : rows * G, 1), W(s.R * s.H * G, .1f), W_in(s.R * I * G, .1f), b(s.R * G, .1f);
    Floats W_out(s.R * s.H * O, .1f), b_out(s.R * O, .1f), h0(states, 1), c0(states, 1);
    Floats dh(rows * s.H, 1), dh_last(states, 1), dc_last(states, 1), alpha(s.R, 1);
    alpha[0] = 0;

    Call c{};
    c.R = s.R, c.T = s.T, c.B = s.B, c.H = s.H, c.I = s.input == DENSE ? 0 : I, c.lstm = s.lstm, c.input = s.input;
    c.threads = threads, c.length = length.data(), c.activation = activation.data();
    c.x = static_cast<float*>(x);
    if (s.input == SYMBOLS_8) c.x = symbols.data();
    if (s.input == SYMBOLS_64) c.x = wide.data();
    c.W = W, c.W_next = s.H * G, c.W_in = W_in, c.W_in_next = I * G, c.b = b, c.b_next = G;
    std::vector<Floats> out;
    const auto result = [&](Index n) -> float* {
        out.emplace_back(n);
        return out.back();
    };
    c.dW = result(s.R * s.H * G), c.dW_next = s.H * G;
    if (s.input != DENSE) {
        c.dW_in = result(s.R * I * G), c.dW_in_next = I * G;
        c.db = result(s.R * G), c.db_next = G;
    }
    std::set<const float*> omegas;  // NaN where α is 0
    c.alpha = alpha, c.omega = result(s.R), omegas.insert(c.omega), c.form = form.data();

    Call step = c;  // forward and backward, every output asked for
    Floats h(s.R * (s.T + 1) * s.B * P), cell(s.R * (s.T + 1) * s.B * P), kept(rows * 4 * P);
    step.pad = 1, step.h0 = h0, step.h = h, step.h_last = result(states);
    if (s.lstm) step.c0 = c0, step.c = cell, step.gates = kept, step.c_last = result(states);
    int unknown = forward(&step);
    step.dh = dh, step.dh_last = dh_last, step.dh0 = result(states);
    if (s.lstm) step.dc_last = dc_last, step.dc0 = result(states);
    Floats delta(rows * gates * P), d(rows * P), v(rows * P);
    step.delta = delta, step.d = d, step.v = v, step.d2 = result(rows), step.v2 = result(rows);
    if (s.input == DENSE) step.dz = result(rows * G);
    unknown += backward(&step);
    for (Floats* each : {&delta, &d, &v}) {  // their last lanes hold nothing of use
        out.emplace_back(each->size / P * s.H);
        for (Index i = 0; i < static_cast<Index>(each->size / P); i++)
            std::memcpy(out.back() + i * s.H, *each + i * P, s.H * sizeof(float));
    }

    for (const bool every : {false, true}) {  // the whole update
        if (s.input == DENSE) break;
        Call update = c;
        update.every = every, update.omega = result(s.R), omegas.insert(update.omega);
        update.O = O, update.losses = result(s.R);
        update.loss = classify ? CROSS_ENTROPY : SQUARED_ERROR;
        update.target = classify ? static_cast<const void*>(classes.data()) : static_cast<float*>(numbers);
        update.W_out = W_out, update.W_out_next = s.H * O, update.b_out = b_out, update.b_out_next = O;
        update.dW = result(s.R * s.H * G), update.dW_in = result(s.R * I * G), update.db = result(s.R * G);
        update.dW_out = result(s.R * s.H * O), update.dW_out_next = s.H * O;
        update.db_out = result(s.R * O), update.db_out_next = O;
        unknown += backward(&update);

        // the simplex direction: on the way back or, with more threads than replicas, after it
        Floats beta(s.R * s.T, 1), psi(s.R, 1), tiny(s.R, 1);
        for (Index i = 0; i < s.R * s.T; i++) beta[i] = std::abs(beta[i]);
        for (Index r = 0; r < s.R; r++) psi[r] = r % 2 ? INFINITY : .01f;
        for (Index r = 0; r < s.R; r++) tiny[r] = r % 2 ? 1e-25f : 1e-8f;
        Simplex direction{};
        direction.R = s.R, direction.T = s.T, direction.B = s.B, direction.threads = threads, direction.descent = every;
        direction.length = length.data(), direction.beta = beta, direction.psi = psi, direction.tiny = tiny;
        update.simplex = &direction, update.alpha = update.omega = nullptr;
        update.dW = result(s.R * s.H * G), update.dW_in = result(s.R * I * G), update.db = result(s.R * G);
        update.dW_out = result(s.R * s.H * O), update.db_out = result(s.R * O), update.losses = result(s.R);
        if (every) update.h_last = result(states);
        if (every && s.lstm) update.c_last = result(states);
        unknown += backward(&update);
    }
    Call look = c;  // forward alone, nothing kept
    look.h_last = result(states);
    if (s.lstm) look.c_last = result(states);
    unknown += forward(&look);
    for (size_t i = 0; i < out.size(); i++)
        for (size_t j = 0; j < out[i].size; j++)
            if (std::isnan(out[i][j]) && omegas.count(out[i].data.get()) == 0) {
                std::printf("array %zu was not written at %zu\n", i, j), std::exit(1);
            }
    if (unknown) std::printf("a known symbol or class was refused\n"), std::exit(1);
    return out;
}

// Five updates with their steps: parameters, losses, Ω and norms.
std::vector<Floats> descended(Index R, Index H, Index B, bool lstm, Index threads) {
    draws.seed(1);
    const Index I = 5, O = 3, T = 6, N = 5, G = (lstm ? 4 : 1) * H, P = H * G + I * G + G + H * O + O;
    std::vector<Floats> out;
    out.emplace_back(R * P, .1f);
    for (int i = 0; i < 3; i++) out.emplace_back(N * R);
    Floats gradient(R * P), rate(R, 1), most(R, 1), alpha(R, 1);
    for (Index r = 0; r < R; r++) most[r] = r % 2 ? INFINITY : .1f;
    std::vector<int8_t> symbols(N * R * T * B);
    std::vector<Index> classes(N * R * B), length(N * R), form(R, SQUARED);
    for (int8_t& one : symbols) one = static_cast<int8_t>(draws() % I);
    for (Index& one : classes) one = static_cast<Index>(draws() % O);
    std::vector<const void*> x(N), target(N);
    for (Index n = 0; n < N; n++) {
        x[n] = symbols.data() + n * R * T * B;
        target[n] = classes.data() + n * R * B;
        for (Index r = 0; r < R; r++) length[n * R + r] = std::max<Index>(0, T - n % 2 - r);
    }
    std::vector<int32_t> activation(R, TANH);
    Call c{};
    c.R = R, c.T = T, c.B = B, c.H = H, c.I = I, c.O = O, c.lstm = lstm, c.threads = threads, c.input = SYMBOLS_8;
    c.loss = CROSS_ENTROPY, c.activation = activation.data(), c.alpha = alpha, c.form = form.data();
    float *theta = out[0], *g = gradient;
    c.W = theta, c.dW = g, theta += H * G, g += H * G;
    c.W_in = theta, c.dW_in = g, theta += I * G, g += I * G;
    c.b = theta, c.db = g, theta += G, g += G;
    c.W_out = theta, c.dW_out = g, theta += H * O, g += H * O;
    c.b_out = theta, c.db_out = g;
    for (Index* next : {&c.W_next, &c.W_in_next, &c.b_next, &c.W_out_next, &c.b_out_next}) *next = P;
    for (Index* next : {&c.dW_next, &c.dW_in_next, &c.db_next, &c.dW_out_next, &c.db_out_next}) *next = P;
    Descent d{};
    d.updates = N, d.P = P, d.length = length.data(), d.x = x.data(), d.target = target.data();
    d.theta = out[0], d.gradient = gradient, d.rate = rate, d.most = most;
    d.losses = out[1], d.omega = out[2], d.norm = out[3];
    if (descend(&c, &d) != N) std::printf("not all updates were made\n"), std::exit(1);
    return out;
}

// A layer without a recurrence, there and back.
std::vector<Floats> layer(Index R, Index N, Index K, Index M, bool tanh, Index threads) {
    draws.seed(1);
    Floats x(R * N * K, 1), W(R * K * M, .1f), b(R * M, .1f), dy(R * N * M, 1);
    std::vector<Floats> out;
    for (Index size : {R * N * M, R * N * K, R * K * M, R * M}) out.emplace_back(size);
    Linear c{};
    c.R = R, c.N = N, c.K = K, c.M = M, c.threads = threads, c.tanh = tanh;
    c.x_next = N * K, c.x_row = K, c.W_next = K * M, c.b_next = M;
    c.x = x, c.W = W, c.b = b, c.y = out[0], c.dy = dy, c.dx = out[1], c.dW = out[2], c.db = out[3];
    linear_forward(&c), linear_backward(&c);
    return out;
}

}  // namespace

int main() {
    int count = 0;
    for (Index N : {1, 47, 2016, 2017, 5000})
        for (Index K : {1, 6, 65})
            for (Index M : {1, 16, 50}) {
                std::vector<Floats> one = layer(2, N, K, M, N % 2, 1), four = layer(2, N, K, M, N % 2, 4);
                for (size_t i = 0; i < one.size(); i++) {
                    bool written = one[i] == four[i];
                    for (size_t j = 0; j < one[i].size; j++) written = written && !std::isnan(one[i][j]);
                    if (!written) {
                        std::printf("layer: array %zu: N %ld K %ld M %ld\n", i, long(N), long(K), long(M));
                        return 1;
                    }
                }
                count++;
            }
    for (Index H : {1, 16, 35, 50})
        for (Index B : {1, 20, 60})
            for (Index R : {1, 3, 7}) {
                const bool lstm = count++ % 2;
                const std::vector<Floats> one = descended(R, H, B, lstm, 1), four = descended(R, H, B, lstm, 4);
                for (size_t i = 0; i < one.size(); i++)
                    if (!(one[i] == four[i])) {
                        std::printf("descent: array %zu: R %ld B %ld H %ld\n", i, long(R), long(B), long(H));
                        return 1;
                    }
            }
    for (Index H : {1, 16, 35, 50, 65})
        for (Index B : {1, 7, 20, 100})
            for (Index T : {1, 9})
                for (int kind = 0; kind < 6; kind++)
                    for (Input input : {DENSE, SYMBOLS_8, SYMBOLS_64, VECTORS}) {
                        const Size size{1 + count % 4, T, B, H, kind == 5, input, kind % 5};
                        const std::vector<Floats> one = results(size, 1), four = results(size, 4);
                        for (size_t i = 0; i < one.size(); i++)
                            if (!(one[i] == four[i])) {
                                std::printf("array %zu differs: R %ld T %ld B %ld H %ld kind %d input %d\n", i,
                                            long(size.R), long(T), long(B), long(H), kind, int(input));
                                return 1;
                            }
                        count++;
                    }
    std::printf("%d sizes, 1 thread and 4: no fault, no difference\n", count);
    return 0;
}
