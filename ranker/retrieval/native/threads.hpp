// Work in parts on a number of threads.

#pragma once

#include <algorithm>
#include <cstdint>
#include <thread>
#include <vector>

namespace nightrank {

// Calls work(part, from, to) for as many equal parts of [0, count) as there are threads, the first on the thread that calls.
template <typename Work>
void in_parts(int64_t count, int64_t threads, const Work& work) {
    const int64_t parts = std::max<int64_t>(1, std::min(threads, count));
    std::vector<std::thread> others;
    for (int64_t part = 1; part < parts; ++part) others.emplace_back(work, part, part * count / parts, (part + 1) * count / parts);
    work(0, 0, count / parts);
    for (std::thread& other : others) other.join();
}

}  // namespace nightrank
