// Exact scores of the candidates, and their order.

#pragma once

#include <utility>
#include <vector>

#include "candidates.hpp"

namespace nightrank {

// The score of user and item: products in fp64, where they are exact, added in halves, rounded once.
class Score {
  public:
    explicit Score(int64_t width) : width(width) {
        while (places < width) places *= 2;
        terms.resize(places);
    }

    NIGHTRANK_AMX float operator()(const float* user, const float* item) {
        double* term = terms.data();
        for (int64_t first = 0; first < places; first += 8) {
            const int64_t left = width - first;
            const __mmask8 inside = left >= 8 ? 0xff : left > 0 ? (1u << left) - 1 : 0;
            const __m512d one = _mm512_cvtps_pd(_mm256_maskz_loadu_ps(inside, user + first));
            const __m512d other = _mm512_cvtps_pd(_mm256_maskz_loadu_ps(inside, item + first));
            _mm512_storeu_pd(term + first, _mm512_mul_pd(one, other));
        }
        for (int64_t half = places / 2; half >= 8; half /= 2)
            for (int64_t at = 0; at < half; at += 8)
                _mm512_storeu_pd(term + at, _mm512_add_pd(_mm512_loadu_pd(term + at), _mm512_loadu_pd(term + at + half)));
        for (int64_t half = 4; half > 0; half /= 2)
            for (int64_t at = 0; at < half; ++at) term[at] += term[at + half];
        return static_cast<float>(term[0]);
    }

  private:
    int64_t width, places = 8;
    std::vector<double> terms;
};

struct Lists {
    int64_t* ids;   // [users, k], 0 where there are no more
    float* scores;  // [users, k], NONE there
};

// The lists of users [from, to), but for those given up. Item i is row i of `items`.
inline void finish(const Users& users, int64_t from, int64_t to, const float* vectors, const float* items, int64_t width, Lists out) {
    Score score(width);
    std::vector<std::pair<float, int32_t>> listed;
    const auto fetch = [&](int64_t user) {  // the rows that it needs, while another's are scored
        for (int32_t at = 0; at < users.states[user].count; ++at) {
            const float* item = items + int64_t{users.ids[user * users.room + at]} * width;
            for (int64_t place = 0; place < width; place += SIDE) __builtin_prefetch(item + place);
        }
    };
    for (int64_t user = from; user < to; ++user)
        if (users.states[user].count > 0) users.sieve(user);
    if (from < to) fetch(from);
    for (int64_t user = from; user < to; ++user) {
        if (user + 1 < to) fetch(user + 1);
        if (users.states[user].count < 0) continue;
        const int32_t *ids = users.ids + user * users.room, *end = ids + users.states[user].count;
        listed.clear();
        for (const int32_t* id = ids; id < end; ++id)
            listed.emplace_back(-score(vectors + user * width, items + int64_t{*id} * width), *id);
        std::sort(listed.begin(), listed.end());
        listed.resize(users.k, {NEVER, 0});
        for (int64_t at = 0; at < users.k; ++at) {
            out.ids[user * users.k + at] = listed[at].second;
            out.scores[user * users.k + at] = -listed[at].first;
        }
    }
}

}  // namespace nightrank
