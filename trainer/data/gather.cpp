// trainer.data._gather: rows picked in any order out of several row groups, copied and widened in one pass.
//
// Rows come in random order, so nearly every one waits for memory. The loop asks for a row's offsets FAR rows ahead and for its
// tokens NEAR rows ahead; all columns of a row are copied while they are at hand. _gather.pyi says what Python sees of it.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstdint>

namespace {

constexpr int64_t FAR = 32;
constexpr int64_t NEAR = 16;
constexpr int64_t LINE = 64;

// A row group, as a line of `rows.Rows.places` lays it out.
struct Part {
    const int32_t* offsets;
    const int32_t* items;
    const int8_t* actions;
    const int64_t* times;
    const int32_t* loss_from;
    const int32_t* users;
    const float* weight;
    int64_t rows;
    int64_t tokens;
};
static_assert(sizeof(Part) == 9 * sizeof(int64_t));

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

INLINED void fetch_columns(const Source& from, int64_t at) {
    const Part& part = from.part(at);
    const int64_t row = from.row(at);
    __builtin_prefetch(part.offsets + row);
    __builtin_prefetch(part.loss_from + row);
    __builtin_prefetch(part.users + row);
    __builtin_prefetch(part.weight + row);
}

INLINED void fetch_tokens(const Source& from, int64_t at) {
    const Part& part = from.part(at);
    const int64_t first = part.offsets[from.row(at)], last = part.offsets[from.row(at) + 1] - 1;
    if (first > last) return;
    fetch(part.items + first, part.items + last);
    fetch(part.actions + first, part.actions + last);
    fetch(part.times + first, part.times + last);
}

// Rows copied: all of them, or as many as stood before the first that is not what it should be.
int64_t gather(const Source& from, const Target& to) {
    for (int64_t b = 0; b < from.rows; ++b)
        if (!from.inside(b)) return b;
    int64_t at = 0;
    for (int64_t b = 0; b < from.rows; ++b) {
        if (b + FAR < from.rows) fetch_columns(from, b + FAR);
        if (b + NEAR < from.rows) fetch_tokens(from, b + NEAR);
        const Part& part = from.part(b);
        const int64_t row = from.row(b), first = part.offsets[row], count = part.offsets[row + 1] - first;
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
        to.loss_from[b] = part.loss_from[row];
        to.users[b] = part.users[row];
        to.weight[b] = part.weight[row];
        at += count;
    }
    return at == to.tokens ? from.rows : from.rows - 1;
}

// Buffers of one call, given back whatever happens.
class Buffers {
  public:
    static constexpr int COUNT = 8;
    Py_buffer each[COUNT] = {};
    ~Buffers() {
        for (Py_buffer& buffer : each)
            if (buffer.obj != nullptr) PyBuffer_Release(&buffer);
    }
};

template <typename T>
T* values(const Py_buffer& buffer) {
    return static_cast<T*>(buffer.buf);
}

PyObject* gather_rows(PyObject*, PyObject* arguments) {
    Buffers held;
    Py_buffer* b = held.each;
    if (!PyArg_ParseTuple(arguments, "y*y*w*w*w*w*w*w*", b, b + 1, b + 2, b + 3, b + 4, b + 5, b + 6, b + 7)) return nullptr;
    const int64_t rows = b[1].len / 8, tokens = b[2].len / 8;
    const Source from{values<const Part>(b[0]), b[0].len / static_cast<int64_t>(sizeof(Part)), values<const int64_t>(b[1]), rows};
    const Target to{values<int64_t>(b[2]), values<int64_t>(b[3]), values<int64_t>(b[4]),
                    values<int64_t>(b[5]), values<int64_t>(b[6]), values<float>(b[7]), tokens};
    if (b[3].len != b[2].len || b[4].len != b[2].len || b[5].len != b[1].len || b[6].len != b[1].len || b[7].len != rows * 4) {
        PyErr_SetString(PyExc_ValueError, "what is written into has another size than what is written");
        return nullptr;
    }
    int64_t copied = 0;
    Py_BEGIN_ALLOW_THREADS;
    copied = gather(from, to);
    Py_END_ALLOW_THREADS;
    if (copied != rows) return PyErr_Format(PyExc_IndexError, "row %lld of %lld is outside", (long long)copied, (long long)rows);
    Py_RETURN_NONE;
}

PyMethodDef METHODS[] = {{"gather_rows", gather_rows, METH_VARARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};
PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "_gather", nullptr, 0, METHODS, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__gather() { return PyModule_Create(&MODULE); }
