// The rows of a row group, in the order of the file, each written to the end of its batch.
//
// Picking a batch's rows out of a row group in random order would wait for memory at every row, and would fetch every line of it
// several times. Here each line is read once, one after the other, and some hundred places grow.

#pragma once

#include "heads.hpp"

namespace nightrank {

// A row group, as `rows.Rows.place` lays it out.
struct Part {
    const Head* heads;
    const int32_t* items;
    const int8_t* actions;
    const int64_t* times;
    int64_t rows;
    int64_t tokens;
};
static_assert(sizeof(Part) == 6 * sizeof(int64_t));

// Where a batch's next row goes and how much there is room for, as a line of `filling.Sheet.cursors` lays it out.
struct Cursor {
    int32_t* items;
    int8_t* actions;
    int64_t* times;
    int64_t* ends;
    int64_t* loss_from;
    int64_t* users;
    float* weight;
    int64_t rows_left;
    int64_t tokens_left;
    int64_t tokens;
};
static_assert(sizeof(Cursor) == 10 * sizeof(int64_t));

template <typename T>
inline void append(T*& to, const T* __restrict from, int64_t count) {
    T* __restrict out = to;
    for (int64_t t = 0; t < count; ++t) out[t] = from[t];
    to += count;
}

// -1, or the first row that has no such batch, no room in it, or tokens outside the row group. Rows of batch -1 are skipped.
inline int64_t scatter(const Part& part, const int32_t* batch_of_row, Cursor* cursors, int64_t batches) {
    for (int64_t row = 0; row < part.rows; ++row) {
        const int32_t batch = batch_of_row[row];
        if (batch < 0) continue;
        if (batch >= batches) return row;
        Cursor& to = cursors[batch];
        const Head& head = part.heads[row];
        const int64_t first = head.offset, count = part.heads[row + 1].offset - first;
        if (first < 0 || count < 0 || first + count > part.tokens || count > to.tokens_left || to.rows_left < 1) return row;
        append(to.items, part.items + first, count);
        append(to.actions, part.actions + first, count);
        append(to.times, part.times + first, count);
        to.tokens += count;
        to.tokens_left -= count;
        --to.rows_left;
        *to.ends++ = to.tokens;
        *to.loss_from++ = head.loss_from;
        *to.users++ = head.user;
        *to.weight++ = head.weight;
    }
    return -1;
}

}  // namespace nightrank
