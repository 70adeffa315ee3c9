// What there is of a row beside its tokens, laid together and checked in one pass over a row group.

#pragma once

#include <algorithm>
#include <cstdint>

namespace nightrank {

// As `rows.HEAD`.
struct Head {
    int32_t offset;
    int32_t user;
    int32_t loss_from;
    float weight;
};
static_assert(sizeof(Head) == 16);

struct Columns {
    const int32_t* offsets[3];  // of items, actions and times
    const int32_t* stated;
    const int32_t* loss_from;
    const int32_t* users;
    const float* weight;
    int64_t rows;
};

// Whether offsets are shared, lists as long as stated and loss_from inside [0, n). `heads` [rows + 1] is filled either way.
inline bool fill_heads(const Columns& from, Head* heads) {
    const int32_t* offsets = from.offsets[0];
    bool fine = true;
    for (int64_t b = 0; b < from.rows; ++b) {
        const int32_t count = offsets[b + 1] - offsets[b];
        fine &= offsets[b] == from.offsets[1][b] && offsets[b] == from.offsets[2][b] && count == from.stated[b];
        fine &= from.loss_from[b] >= 0 && from.loss_from[b] < count;
        heads[b] = {offsets[b], from.users[b], from.loss_from[b], from.weight[b]};
    }
    const int32_t end = offsets[from.rows];
    heads[from.rows] = {end, 0, 0, 0};
    return fine && end == from.offsets[1][from.rows] && end == from.offsets[2][from.rows];
}

struct Span {
    int32_t low;
    int32_t high;
};

// Of no values: 1 and 1.
inline Span span_of(const int32_t* values, int64_t count) {
    int32_t low = count ? values[0] : 1, high = low;
    for (int64_t t = 0; t < count; ++t) {
        low = std::min(low, values[t]);
        high = std::max(high, values[t]);
    }
    return {low, high};
}

}  // namespace nightrank
