// Training rows out of a row group's leaves, by libparquet's column readers.
//
// Reading lists as Arrow arrays works their offsets and validity out of the levels, once a column. Here the levels that `n` says
// there must be are compared with those that are there.

#pragma once

#include <parquet/api/reader.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>

namespace nightrank {

// Where the columns of a row group are written: [rows] each, `offsets` [rows + 1], items, actions and times [tokens].
struct Leaves {
    int32_t* users;
    int32_t* stated;
    int32_t* loss_from;
    float* weight;
    int32_t* offsets;
    int32_t* items;
    int8_t* actions;
    int64_t* times;
    int64_t rows;
    int64_t tokens;
};

struct Names {
    const char *users, *stated, *loss_from, *weight, *items, *actions, *times;
};

// The only leaf of the column `name`, or -1.
inline int leaf_of(const parquet::SchemaDescriptor& schema, const char* name) {
    int found = -1;
    for (int at = 0; at < schema.num_columns(); ++at) {
        if (schema.GetColumnRoot(at)->name() != name) continue;
        if (found >= 0) return -1;
        found = at;
    }
    return found;
}

inline bool are_all(const int16_t* levels, int64_t count, int16_t level) {
    bool fine = true;
    for (int64_t at = 0; at < count; ++at) fine &= levels[at] == level;
    return fine;
}

class LeafReader {
  public:
    LeafReader(const parquet::SchemaDescriptor& schema, parquet::RowGroupReader& group) : schema_(schema), group_(group) {}

    // Whether `name` is a leaf of physical type Kind with exactly `count` values, none of them null, which then stand at `out`; and
    // lists begin where `repetition` [count] has a 0, or there is none and the leaf is in no list.
    template <typename Kind, typename T>
    bool read(const char* name, T* out, int64_t count, const int16_t* repetition = nullptr) {
        using Stored = typename Kind::c_type;
        const int leaf = leaf_of(schema_, name);
        if (leaf < 0 || schema_.Column(leaf)->physical_type() != Kind::type_num) return false;
        if (schema_.Column(leaf)->max_repetition_level() != (repetition ? 1 : 0)) return false;
        if (group_.metadata()->ColumnChunk(leaf)->num_values() != count) return false;
        const int16_t there = schema_.Column(leaf)->max_definition_level();
        const std::shared_ptr<parquet::ColumnReader> column = group_.Column(leaf);
        auto& values = static_cast<parquet::TypedColumnReader<Kind>&>(*column);
        for (int64_t at = 0, more = 0; at < count; at += more) {
            const int64_t most = std::min<int64_t>(CHUNK, count - at);
            int64_t read = 0;
            if constexpr (std::is_same_v<T, Stored>) {
                more = values.ReadBatch(most, definition_, repetition_, out + at, &read);
            } else {
                static_assert(std::is_same_v<Stored, int32_t>);
                more = values.ReadBatch(most, definition_, repetition_, wide_, &read);
                std::copy(wide_, wide_ + read, out + at);
            }
            if (more < 1 || read != more) return false;
            if (there > 0 && !are_all(definition_, more, there)) return false;
            if (repetition && std::memcmp(repetition_, repetition + at, more * sizeof(int16_t)) != 0) return false;
        }
        return true;
    }

  private:
    static constexpr int64_t CHUNK = 8192;  // values and levels of a chunk stay in a core's cache

    const parquet::SchemaDescriptor& schema_;
    parquet::RowGroupReader& group_;
    int16_t definition_[CHUNK];
    int16_t repetition_[CHUNK];
    int32_t wide_[CHUNK];
};

// Fills `offsets` from lengths. Null where a length is below 1 or they are not `tokens` together.
inline std::unique_ptr<int16_t[]> levels_of(const int32_t* lengths, int64_t rows, int64_t tokens, int32_t* offsets) {
    if (tokens > std::numeric_limits<int32_t>::max()) return nullptr;
    std::unique_ptr<int16_t[]> levels(new int16_t[tokens]);
    std::fill_n(levels.get(), tokens, 1);
    int64_t at = 0;
    for (int64_t row = 0; row < rows; ++row) {
        if (lengths[row] < 1 || at + lengths[row] > tokens) return nullptr;
        offsets[row] = static_cast<int32_t>(at);
        levels[at] = 0;
        at += lengths[row];
    }
    offsets[rows] = static_cast<int32_t>(at);
    return at == tokens ? std::move(levels) : nullptr;
}

// Whether the row group is plain: no null, no empty list, and three lists of the stated length in every row. Its values then stand
// in `to`. Throws what libparquet throws.
inline bool read_leaves(parquet::ParquetFileReader& file, int group, const Names& names, const Leaves& to) {
    const std::shared_ptr<parquet::RowGroupReader> rows = file.RowGroup(group);
    if (rows->metadata()->num_rows() != to.rows) return false;
    const auto leaf = std::make_unique<LeafReader>(*file.metadata()->schema(), *rows);
    if (!leaf->read<parquet::Int32Type>(names.stated, to.stated, to.rows)) return false;
    const std::unique_ptr<int16_t[]> levels = levels_of(to.stated, to.rows, to.tokens, to.offsets);
    return levels && leaf->read<parquet::Int32Type>(names.users, to.users, to.rows) &&
           leaf->read<parquet::Int32Type>(names.loss_from, to.loss_from, to.rows) &&
           leaf->read<parquet::FloatType>(names.weight, to.weight, to.rows) &&
           leaf->read<parquet::Int32Type>(names.items, to.items, to.tokens, levels.get()) &&
           leaf->read<parquet::Int32Type>(names.actions, to.actions, to.tokens, levels.get()) &&
           leaf->read<parquet::Int64Type>(names.times, to.times, to.tokens, levels.get());
}

}  // namespace nightrank
