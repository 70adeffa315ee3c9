// Items in bf16, and how far that is from what they are.

#pragma once

#include <cmath>
#include <vector>

#include "candidates.hpp"
#include "threads.hpp"

namespace nightrank {

constexpr int64_t AHEAD = 1024;  // numbers between what is rounded and what is fetched

struct Lengths {
    float norm = 0, residual = 0;  // the largest |item| and |item - rounded item|
    int64_t faulty = 0;            // rows with a NaN or an infinity
};

inline bool faulty(const float* row, int64_t width) {
    return std::any_of(row, row + width, [](float value) { return !std::isfinite(value); });
}

// Rounds `count` rows of `width` to bf16 in `out`, whose rows are `stride` long and end in zeros.
NIGHTRANK_AMX inline Lengths round_rows(const float* rows, const int32_t* wanted, int64_t count, int64_t width, int64_t stride,
                                        uint16_t* out) {
    Lengths lengths;
    for (int64_t at = 0; at < count; ++at) {
        const float* row = rows + int64_t{wanted[at]} * width;
        __m512 squares = _mm512_setzero_ps(), residuals = _mm512_setzero_ps();
        for (int64_t first = 0; first < stride; first += SIDE) {
            const __m512 value = _mm512_maskz_loadu_ps(first_of(width - first), row + first);
            _mm_prefetch(row + first + AHEAD, _MM_HINT_T0);
            const __m256i rounded = (__m256i)_mm512_cvtneps_pbh(value);
            _mm256_store_si256(reinterpret_cast<__m256i*>(out + at * stride + first), rounded);
            const __m512 off = _mm512_sub_ps(value, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(rounded), 16)));
            squares = _mm512_fmadd_ps(value, value, squares);
            residuals = _mm512_fmadd_ps(off, off, residuals);
        }
        const float square = _mm512_reduce_add_ps(squares), residual = _mm512_reduce_add_ps(residuals);
        if (!(square <= std::numeric_limits<float>::max()))
            lengths.faulty += faulty(row, width);
        if (!(square <= lengths.norm)) lengths.norm = square;  // NaN stays
        if (!(residual <= lengths.residual)) lengths.residual = residual;
    }
    // Sums of squares lose at most 2^-20 of themselves, and what is below the smallest number.
    const auto root = [&](float square) { return std::sqrt(square * (1 + 0x1p-10f) + 0x1p-100f); };
    lengths.norm = root(lengths.norm);
    lengths.residual = root(lengths.residual);
    return lengths;
}

// The items of a block that may be listed, side by side.
struct Rounded {
    std::vector<int32_t> rows, ids;
    std::vector<uint16_t> space;
    uint16_t* values;  // in `space`, where a cache line begins

    int64_t count() const { return static_cast<int64_t>(ids.size()); }

    // Of `all` rows, the first of which has the id `first`, those that are eligible (all if null) but for id 0. Rows that are
    // left out are looked at for faults all the same. There is room up to a multiple of `multiple`, filled with zeros.
    Lengths take(const float* items, int64_t all, int64_t width, int64_t stride, int64_t multiple, int64_t first,
                 const uint8_t* eligible, int64_t threads) {
        Lengths lengths;
        rows.clear();
        ids.clear();
        for (int64_t row = 0; row < all; ++row) {
            if (first + row == 0 || (eligible != nullptr && !eligible[row])) {
                lengths.faulty += faulty(items + row * width, width);
                continue;
            }
            rows.push_back(static_cast<int32_t>(row));
            ids.push_back(static_cast<int32_t>(first + row));
        }
        const int64_t whole = (count() + multiple - 1) / multiple * multiple;
        space.resize(whole * stride + 32);
        values = reinterpret_cast<uint16_t*>((reinterpret_cast<uintptr_t>(space.data()) + 63) / 64 * 64);
        std::fill(values + count() * stride, values + whole * stride, uint16_t{0});
        std::vector<Lengths> parts(std::max<int64_t>(threads, 1));
        in_parts(count(), threads, [&](int64_t part, int64_t from, int64_t to) {
            parts[part] = round_rows(items, rows.data() + from, to - from, width, stride, values + from * stride);
        });
        for (const Lengths& part : parts) {
            lengths.norm = part.norm > lengths.norm || std::isnan(part.norm) ? part.norm : lengths.norm;
            lengths.residual = part.residual > lengths.residual || std::isnan(part.residual) ? part.residual : lengths.residual;
            lengths.faulty += part.faulty;
        }
        return lengths;
    }
};

}  // namespace nightrank
