// Normal noise from Philox's streams.

#pragma once

#include <cstdint>

#include "call.h"

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

}  // namespace
