// Which scores of a block of items may belong to the k best of a user.

#pragma once

#include <vector>

#include "product.hpp"

namespace nightrank {

constexpr int64_t HELD = 8;         // steps with candidates that are looked at together
constexpr int64_t SEEDS = 4096;     // items that give the first floors, or fewer where they are long
constexpr int64_t BLOCK = 1 << 19;  // bytes of items that stay in a core's cache while all users pass

struct Items {
    const uint16_t* rounded;  // [count rounded up to 32, 32 depths]
    const int32_t* ids;       // [count]
    int64_t count, depths;
};

// Writes `value` into the descending rows of `ranked`, each of 16 users; what falls out at the end is lost.
NIGHTRANK_AMX inline void rank(__m512 value, float* ranked, int64_t rows) {
    if (!_mm512_cmp_ps_mask(value, _mm512_loadu_ps(ranked + (rows - 1) * SIDE), _CMP_GT_OQ)) return;
    for (float* row = ranked; row < ranked + rows * SIDE; row += SIDE) {
        const __m512 held = _mm512_loadu_ps(row);
        _mm512_storeu_ps(row, _mm512_max_ps(held, value));
        value = _mm512_min_ps(held, value);
    }
}

// Levels for the users [first, first + 32) from the first items: the largest scores of 32 items each, as many as a user needs.
NIGHTRANK_AMX inline void seed(const Users& users, int64_t first, const uint16_t* packed, const Items& items) {
    alignas(64) Step scores;
    const int64_t stride = items.depths * DEPTH, steps = std::min(items.count, std::min(SEEDS, BLOCK / stride)) / GROUP;
    if (users.k > steps) return;
    int64_t places[GROUP] = {}, rows = 0;
    for (int64_t user = first; user < std::min(first + GROUP, users.count); ++user) {
        const int64_t place = users.k + users.excluded_between(user, items.ids[0], items.ids[steps * GROUP - 1]);
        if (place > steps || users.states[user].count != 0 || users.states[user].level != NONE) continue;
        places[user - first] = place;
        rows = std::max(rows, place);
    }
    if (rows == 0) return;
    thread_local std::vector<float> ranked;
    ranked.assign(2 * rows * SIDE, NONE);
    for (int64_t step = 0; step < steps; ++step) {
        multiply(items.rounded + step * GROUP * stride, items.depths, packed, scores);
        for (int64_t half = 0; half < 2; ++half)
            rank(_mm512_max_ps(largest(scores[0][half]), largest(scores[1][half])), ranked.data() + half * rows * SIDE, rows);
    }
    for (int64_t lane = 0; lane < GROUP; ++lane) {
        if (places[lane] == 0) continue;
        users.states[first + lane].level = ranked[(lane / SIDE * rows + places[lane] - 1) * SIDE + lane % SIDE];
        users.set_floor(first + lane);
    }
}

// Steps whose largest scores reached a floor, and which tile's users did: 16 bits a tile.
struct Held {
    alignas(64) Step scores[HELD + 1];
    int64_t items[HELD + 1];
    uint64_t users[HELD + 1];
};

// Takes the candidates of the first `count` steps in `held`.
NIGHTRANK_AMX inline void collect(const Users& users, int64_t first, const Items& items, const Held& held, int64_t count) {
    const __m512i column = _mm512_mullo_epi32(_mm512_set1_epi32(SIDE), _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    for (int64_t step = 0; step < count; ++step)
        for (uint64_t reached = held.users[step]; reached; reached &= reached - 1) {
            const int64_t bit = __builtin_ctzll(reached), tile = bit / SIDE, lane = bit % SIDE;
            const int64_t user = first + tile % 2 * SIDE + lane, item = held.items[step] + tile / 2 * SIDE;
            const float(*own)[SIDE] = held.scores[step][tile / 2][tile % 2];
            const __m512 scores = _mm512_i32gather_ps(column, &own[0][lane], sizeof(float));
            unsigned passed = _mm512_mask_cmp_ps_mask(first_of(items.count - item), scores, _mm512_set1_ps(users.floors[user]), _CMP_GE_OQ);
            for (; passed; passed &= passed - 1) {
                const int row = __builtin_ctz(passed);
                users.add(user, own[row][lane], items.ids[item + row]);
            }
        }
}

// All items and the users [first, first + 32); `packed` holds these users' tiles: depth by depth, 16 users and 16 more.
NIGHTRANK_AMX inline void scan_group(const Users& users, int64_t first, const uint16_t* packed, const Items& items) {
    static thread_local Held held;
    int64_t count = 0;
    for (int64_t item = 0; item < items.count; item += GROUP) {
        multiply(items.rounded + item * items.depths * DEPTH, items.depths, packed, held.scores[count]);
        uint64_t reached = 0;
        for (int64_t tile = 0; tile < 4; ++tile) {
            const __m512 floors = _mm512_loadu_ps(users.floors + first + tile % 2 * SIDE);
            const __m512 values = largest(held.scores[count][tile / 2][tile % 2]);
            reached |= uint64_t{_mm512_cmp_ps_mask(values, floors, _CMP_GE_OQ)} << (tile * SIDE);
        }
        held.items[count] = item;
        held.users[count] = reached;
        count += reached != 0;  // else the next step takes its place, without a branch that could be foreseen wrongly
        if (count <= HELD) continue;
        collect(users, first, items, held, count);
        count = 0;
    }
    collect(users, first, items, held, count);
}

// All items and the users of groups [from, to), blocks of items outside so that a core's cache holds them.
NIGHTRANK_AMX inline void scan(const Users& users, int64_t from, int64_t to, const uint16_t* packed, const Items& items) {
    static const Config config;  // in memory: the compiler does not know what the instruction reads
    _tile_loadconfig(&config);
    const int64_t stride = items.depths * DEPTH, rows = std::max(GROUP, BLOCK / (2 * stride) / GROUP * GROUP);
    for (int64_t first = 0; first < items.count; first += rows) {
        const Items block{items.rounded + first * stride, items.ids + first, std::min(rows, items.count - first), items.depths};
        for (int64_t group = from; group < to; ++group) {
            const uint16_t* own = packed + group * GROUP * stride;
            if (first == 0) seed(users, group * GROUP, own, block);
            scan_group(users, group * GROUP, own, block);
        }
    }
    _tile_release();
}

}  // namespace nightrank
