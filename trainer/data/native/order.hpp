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
inline void permute(int64_t* out, int64_t count, uint64_t seed) {
    Random random(seed);
    for (int64_t i = 0; i < count; ++i) out[i] = i;
    for (int64_t i = count - 1; i > 0; --i) std::swap(out[i], out[random.below(i + 1)]);
}

// Places of `lengths` from the shortest to the longest, equal ones in random order. False for a length below 0.
inline bool by_length(int64_t* out, const int32_t* lengths, int64_t count, uint64_t seed) {
    if (count == 0) return true;
    const auto ends = std::minmax_element(lengths, lengths + count);
    if (*ends.first < 0) return false;
    std::vector<int64_t> mixed(count), next(*ends.second + 2);
    permute(mixed.data(), count, seed);
    for (int64_t i = 0; i < count; ++i) ++next[lengths[i] + 1];
    for (size_t length = 1; length < next.size(); ++length) next[length] += next[length - 1];
    for (const int64_t place : mixed) out[next[lengths[place]]++] = place;
    return true;
}

}  // namespace nightrank
