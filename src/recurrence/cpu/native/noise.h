// y = x + noise, whose numbers come from Philox's streams.

#pragma once

#include <algorithm>

#include "arguments.h"
#include "threads.h"

namespace {

// Philox4x64-10 (Salmon et al., 2011) as NumPy counts it: block n of a stream, 16 numbers of 16 bits.
void philox(const uint64_t* stream, uint64_t n, uint16_t* numbers) {
    uint64_t key[2] = {stream[0], stream[1]};
    uint64_t at[4] = {n + 1, 0, stream[2], stream[3]};
    for (int round = 0; round < 10; round++) {
        const unsigned __int128 one = static_cast<unsigned __int128>(at[0]) * 0xD2E7470EE14C6C93;
        const unsigned __int128 two = static_cast<unsigned __int128>(at[2]) * 0xCA5A826395121157;
        at[0] = static_cast<uint64_t>(two >> 64) ^ at[1] ^ key[0];
        at[1] = static_cast<uint64_t>(two);
        at[2] = static_cast<uint64_t>(one >> 64) ^ at[3] ^ key[1];
        at[3] = static_cast<uint64_t>(one);
        key[0] += 0x9E3779B97F4A7C15;
        key[1] += 0xBB67AE8584CAA73B;
    }
    for (int i = 0; i < 16; i++) numbers[i] = static_cast<uint16_t>(at[i / 4] >> (16 * (i % 4)));
}

// Rows [first, end) of one replica.
void add_noise_to(const Noise& c, Index r, Index first, Index end) {
    uint16_t numbers[16];
    for (Index row = first; row < end; row++) {
        const float* x = c.x + r * c.x_next + row * c.x_row;
        float* y = c.y + (r * c.N + row) * c.K;
        for (Index k = 0; k < c.K;) {
            const Index at = row * c.K + k;  // of the replica's numbers
            const Index within = at % 16;
            if (within == 0 || (k == 0 && row == first)) philox(c.stream + 4 * r, at / 16, numbers);
            const Index run = std::min(16 - within, c.K - k);
            for (Index i = 0; i < run; i++) y[k + i] = x[k + i] + c.quantiles[numbers[within + i]];
            k += run;
        }
    }
}

void run_noise(const Noise& c) {
    constexpr Index ROWS = 1024;  // of a job
    const Index jobs = (c.N + ROWS - 1) / ROWS;
    auto work = [&](Index job) {
        const Index first = job % jobs * ROWS;
        add_noise_to(c, job / jobs, first, std::min(c.N, first + ROWS));
    };
    Pool::get().run(c.threads, c.R * jobs, work);
}

}  // namespace
