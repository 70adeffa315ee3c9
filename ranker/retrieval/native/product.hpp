// The product of users and items in bf16 tiles (AMX), looked at where it stands and never written to memory.

#pragma once

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "candidates.hpp"

namespace nightrank {

constexpr int64_t DEPTH = 32;       // bf16 numbers of a tile's row
constexpr int64_t GROUP = 32;       // users, and items, of one step: two tiles

// Whether processor and kernel give this process bf16 tiles.
inline bool tiles_are_there() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    const bool tiles = (d >> 22 & 1) && (d >> 24 & 1), vectors = (b >> 16 & 1) && (b >> 30 & 1) && (b >> 31 & 1);
    if (!tiles || !vectors || !__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a >> 5 & 1)) return false;
    constexpr long ASK_FOR_STATE = 0x1023, TILE_DATA = 18;
    return syscall(SYS_arch_prctl, ASK_FOR_STATE, TILE_DATA) == 0;
}

struct alignas(64) Config {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Scores of 32 items and 32 users in four tiles (upper and lower items by first and second users), a row for each item.
using Step = float[2][2][SIDE][SIDE];

NIGHTRANK_AMX inline void multiply(const uint16_t* items, int64_t depths, const uint16_t* packed, Step scores) {
    const int64_t stride = depths * DEPTH, tile = SIDE * DEPTH;
    const uint16_t* lower = items + SIDE * stride;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t depth = 0; depth < depths; ++depth) {
        _tile_loadd(4, items + depth * DEPTH, stride * 2);
        _tile_loadd(6, packed + 2 * depth * tile, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, packed + (2 * depth + 1) * tile, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, lower + depth * DEPTH, stride * 2);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, scores[0][0], 64);
    _tile_stored(1, scores[0][1], 64);
    _tile_stored(2, scores[1][0], 64);
    _tile_stored(3, scores[1][1], 64);
    __asm__ volatile("" ::: "memory");
}

NIGHTRANK_AMX inline __m512 largest(const float (*scores)[SIDE]) {
    __m512 value = _mm512_load_ps(scores[0]);
    for (int64_t row = 1; row < SIDE; ++row) value = _mm512_max_ps(value, _mm512_load_ps(scores[row]));
    return value;
}

}  // namespace nightrank
