// Rows picked in any order out of several row groups, copied and widened in one pass.
//
// Rows come in random order, so nearly every one waits for memory. The loop asks for a row's head FAR rows ahead and for its
// tokens NEAR rows ahead; all columns of a row are copied while they are at hand.

#pragma once

#include "heads.hpp"

namespace nightrank {

constexpr int64_t FAR = 32;
constexpr int64_t NEAR = 16;
constexpr int64_t LINE = 64;

// A row group, as a line of `rows.Rows.places` lays it out.
struct Part {
    const Head* heads;
    const int32_t* items;
    const int8_t* actions;
    const int64_t* times;
    int64_t rows;
    int64_t tokens;
};
static_assert(sizeof(Part) == 6 * sizeof(int64_t));

struct Source {
    const Part* parts;
    int64_t count;
    const int64_t* index;
    int64_t rows;

    const Part& part(int64_t at) const { return parts[index[at] >> 32]; }
    int64_t row(int64_t at) const { return index[at] & 0xffffffff; }
    bool inside(int64_t at) const {
        return static_cast<uint64_t>(index[at] >> 32) < static_cast<uint64_t>(count) && row(at) < part(at).rows;
    }
};

struct Target {
    int64_t* items;
    int64_t* actions;
    int64_t* times;
    int64_t* loss_from;
    int64_t* users;
    float* weight;
    int64_t tokens;
};

// gcc takes a function that does nothing but fetch for one without effect and drops its calls, unless they are inlined early.
#define INLINED inline __attribute__((always_inline))

template <typename T>
INLINED void fetch(const T* first, const T* last) {
    auto at = reinterpret_cast<uintptr_t>(first) / LINE, end = reinterpret_cast<uintptr_t>(last) / LINE;
    for (; at <= end; ++at) __builtin_prefetch(reinterpret_cast<const void*>(at * LINE));
}

INLINED void fetch_head(const Source& from, int64_t at) { __builtin_prefetch(from.part(at).heads + from.row(at)); }

INLINED void fetch_tokens(const Source& from, int64_t at) {
    const Part& part = from.part(at);
    const Head* head = part.heads + from.row(at);
    const int64_t first = head[0].offset, last = head[1].offset - 1;
    if (first > last) return;
    fetch(part.items + first, part.items + last);
    fetch(part.actions + first, part.actions + last);
    fetch(part.times + first, part.times + last);
}

// Rows copied: all of them, or as many as stood before the first that is not what it should be.
inline int64_t gather(const Source& from, const Target& to) {
    for (int64_t b = 0; b < from.rows; ++b)
        if (!from.inside(b)) return b;
    int64_t at = 0;
    for (int64_t b = 0; b < from.rows; ++b) {
        if (b + FAR < from.rows) fetch_head(from, b + FAR);
        if (b + NEAR < from.rows) fetch_tokens(from, b + NEAR);
        const Part& part = from.part(b);
        const Head* head = part.heads + from.row(b);
        const int64_t first = head[0].offset, count = head[1].offset - first;
        if (first < 0 || count < 0 || first + count > part.tokens || at + count > to.tokens) return b;
        const int32_t* __restrict items = part.items + first;
        const int8_t* __restrict actions = part.actions + first;
        const int64_t* __restrict times = part.times + first;
        int64_t* __restrict wide_items = to.items + at;
        int64_t* __restrict wide_actions = to.actions + at;
        int64_t* __restrict wide_times = to.times + at;
        for (int64_t t = 0; t < count; ++t) {
            wide_items[t] = items[t];
            wide_actions[t] = actions[t];
            wide_times[t] = times[t];
        }
        to.loss_from[b] = head->loss_from;
        to.users[b] = head->user;
        to.weight[b] = head->weight;
        at += count;
    }
    return at == to.tokens ? from.rows : from.rows - 1;
}

}  // namespace nightrank
