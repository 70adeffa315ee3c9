// Random orders that are a function of a seed, the same on every machine.

#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace nightrank {

// SplitMix64 (Steele, Lea and Flood 2014).
class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed) {}

    // Uniform in [0, bound) up to bound / 2^64.
    uint64_t below(uint64_t bound) {
        uint64_t bits = state_ += 0x9e3779b97f4a7c15;
        bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9;
        bits = (bits ^ (bits >> 27)) * 0x94d049bb133111eb;
        return static_cast<uint64_t>(static_cast<unsigned __int128>(bits ^ (bits >> 31)) * bound >> 64);
    }

  private:
    uint64_t state_;
};

// 0 .. count - 1 in random order (Fisher and Yates).
template <typename T>
void permute(T* out, int64_t count, uint64_t seed) {
    Random random(seed);
    for (int64_t i = 0; i < count; ++i) out[i] = static_cast<T>(i);
    for (int64_t i = count - 1; i > 0; --i) std::swap(out[i], out[random.below(i + 1)]);
}

// Places of `lengths` from the shortest to the longest, equal ones in random order. False for a length below 0.
template <typename T>
bool by_length(T* out, const int32_t* lengths, int64_t count, uint64_t seed) {
    if (count == 0) return true;
    const auto ends = std::minmax_element(lengths, lengths + count);
    if (*ends.first < 0) return false;
    std::vector<T> mixed(count);
    std::vector<int64_t> next(*ends.second + 2);
    permute(mixed.data(), count, seed);
    for (int64_t i = 0; i < count; ++i) ++next[lengths[i] + 1];
    for (size_t length = 1; length < next.size(); ++length) next[length] += next[length - 1];
    for (const T place : mixed) out[next[lengths[place]]++] = place;
    return true;
}

// The same places cut into buckets of `sizes`; those of bucket k are of batch `batch_of_bucket[k]`. `tokens` of each batch grow
// by its lengths. False for a length below 0, and for sizes that are not all places.
inline bool deal(int32_t* batch_of_place, int64_t* tokens, const int32_t* lengths, int64_t count, const int64_t* sizes,
                 const int64_t* batch_of_bucket, int64_t buckets, uint64_t seed) {
    std::vector<int32_t> sorted(count);  // a window has fewer rows than 2^31
    if (!by_length(sorted.data(), lengths, count, seed)) return false;
    int64_t at = 0;
    for (int64_t bucket = 0; bucket < buckets; ++bucket) {
        const int64_t batch = batch_of_bucket[bucket], end = at + sizes[bucket];
        if (batch < 0 || batch >= buckets || sizes[bucket] < 0 || end > count) return false;
        for (; at < end; ++at) {
            batch_of_place[sorted[at]] = static_cast<int32_t>(batch);
            tokens[batch] += lengths[sorted[at]];
        }
    }
    return at == count;
}

}  // namespace nightrank
