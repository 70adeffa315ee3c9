// What is kept of each user between the blocks of a catalogue: items whose rounded score may belong to the k best.

#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <limits>

namespace nightrank {

#define NIGHTRANK_AMX __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16,amx-tile,amx-bf16")))

constexpr int64_t SIDE = 16;  // numbers of a register, rows of a tile

constexpr float NONE = -std::numeric_limits<float>::infinity();
constexpr float NEVER = std::numeric_limits<float>::infinity();
constexpr float LARGEST_ERROR = 0x1p96f;  // beyond it a rounded score may overflow

// Rounded and exact scores of user and item differ by at most by_norm |item| + by_residual |item - rounded item| + constant.
struct Bound {
    float by_norm, by_residual, constant;
};

NIGHTRANK_AMX inline __mmask16 first_of(int64_t left) {
    return left >= SIDE ? 0xffff : left > 0 ? (1u << left) - 1 : 0;
}

// The k-th largest of `count` scores, none of them a NaN: its bits one after the other, from the highest.
NIGHTRANK_AMX inline float kth_largest(const float* scores, int64_t count, int64_t k) {
    uint32_t found = 0;
    for (uint32_t bit = 1u << 31; bit; bit >>= 1) {
        int64_t above = 0;
        const __m512i least = _mm512_set1_epi32(static_cast<int>(found | bit));
        for (int64_t at = 0; at < count; at += SIDE) {
            const __mmask16 inside = first_of(count - at);
            const __m512i bits = _mm512_castps_si512(_mm512_maskz_loadu_ps(inside, scores + at));
            const __m512i flipped = _mm512_or_si512(_mm512_srai_epi32(bits, 31), _mm512_set1_epi32(INT32_MIN));
            const __m512i ordered = _mm512_xor_si512(bits, flipped);  // as unsigned integers, in the scores' order
            above += __builtin_popcount(_mm512_mask_cmpge_epu32_mask(inside, ordered, least));
        }
        if (above >= k) found |= bit;
    }
    const uint32_t bits = found & 1u << 31 ? found ^ 1u << 31 : ~found;
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

struct State {
    float level;     // at least k items that may be listed have this rounded score or more; NONE while fewer are known
    float error;     // of any score so far
    int32_t count;   // candidates held, -1 for a user whose candidates did not fit
    int32_t sieved;  // of these, looked at already
    int32_t limit;   // candidates before the next sieve
};

struct Users {
    int64_t count, k, room;
    const Bound* bounds;       // [count]
    const int32_t* excluded;   // ascending for each user
    const int64_t* offsets;    // [count + 1]
    State* states;             // [count]
    float* floors;             // [count rounded up to 32]: a rounded score below it cannot belong to the k best
    float* scores;             // [count, room]: of the candidates
    int32_t* ids;              // [count, room]

    void give_up(int64_t user) const {
        states[user].count = -1;
        floors[user] = NEVER;
    }

    // How many ids of [low, high] the user may not be given.
    int64_t excluded_between(int64_t user, int32_t low, int32_t high) const {
        const int32_t *from = excluded + offsets[user], *to = excluded + offsets[user + 1];
        return std::upper_bound(from, to, high) - std::lower_bound(from, to, low);
    }

    void set_floor(int64_t user) const { floors[user] = states[user].level - 2 * states[user].error; }

    // Afterwards the bounds hold for items as long as these.
    void widen(float norm, float residual) const {
        for (int64_t user = 0; user < count; ++user) {
            State& state = states[user];
            if (state.count < 0) continue;
            const Bound& bound = bounds[user];
            state.error = std::max(state.error, bound.by_norm * norm + bound.by_residual * residual + bound.constant);
            if (state.error < LARGEST_ERROR)
                set_floor(user);
            else
                give_up(user);
        }
    }

    // Drops what is excluded or below the floor, which it raises to what the candidates allow.
    NIGHTRANK_AMX void sieve(int64_t user) const {
        State& state = states[user];
        float* own = scores + user * room;
        int32_t* names = ids + user * room;
        const int32_t *from = excluded + offsets[user], *to = excluded + offsets[user + 1];
        int32_t kept = from == to ? state.count : state.sieved;
        for (int32_t at = kept; at < state.count; ++at) {
            own[kept] = own[at];
            names[kept] = names[at];
            kept += !std::binary_search(from, to, names[at]);
        }
        if (kept >= k) {
            state.level = std::max(state.level, kth_largest(own, kept, k));
            set_floor(user);
            const int64_t before = kept;
            kept = 0;
            for (int64_t at = 0; at < before; at += SIDE) {
                const __m512 values = _mm512_loadu_ps(own + at);  // rooms end in a register's worth
                const __m512i held = _mm512_loadu_si512(names + at);
                const __mmask16 stay =
                    _mm512_mask_cmp_ps_mask(first_of(before - at), values, _mm512_set1_ps(floors[user]), _CMP_GE_OQ);
                _mm512_mask_compressstoreu_ps(own + kept, stay, values);
                _mm512_mask_compressstoreu_epi32(names + kept, stay, held);
                kept += __builtin_popcount(stay);
            }
        }
        state.count = state.sieved = kept;
    }

    void add(int64_t user, float score, int32_t id) const {
        State& state = states[user];
        if (state.count < 0) return;
        scores[user * room + state.count] = score;
        ids[user * room + state.count] = id;
        if (++state.count < state.limit) return;
        sieve(user);
        while (state.count > state.limit / 2 && state.limit < room) state.limit = std::min<int64_t>(2 * state.limit, room);
        if (state.count >= state.limit) give_up(user);
    }
};

}  // namespace nightrank
