// nightrank.ranker.retrieval._tiles, as _tiles.pyi describes it: buffers in, buffers filled, Python's lock let go of meanwhile.

#include "../../../trainer/data/native/buffers.hpp"
#include "exact.hpp"
#include "rounded.hpp"
#include "scan.hpp"
#include "threads.hpp"

namespace {

using namespace nightrank;

// Buffers 0 to 6 are the candidates' state.
template <int COUNT>
bool users_of(const Buffers<COUNT>& held, int64_t k, Users& users) {
    const int64_t count = held.template size<Bound>(0);
    users = {count, k, count ? held.template size<float>(5) / count : 0,
             held.template values<const Bound>(0), held.template values<const int32_t>(1), held.template values<const int64_t>(2),
             held.template values<State>(3), held.template values<float>(4), held.template values<float>(5),
             held.template values<int32_t>(6)};
    return k > 0 && users.room > k && users.room % SIDE == 0 && held.template size<int32_t>(6) == count * users.room &&
           held.template size<int64_t>(2) == count + 1 && held.template size<State>(3) == count &&
           held.template size<float>(4) == (count + GROUP - 1) / GROUP * GROUP;
}

PyObject* scan_block(PyObject*, PyObject* arguments) {
    Buffers<10> held;
    Py_buffer* b = held.each;
    long long k = 0, width = 0, first = 0, threads = 0;
    if (!PyArg_ParseTuple(arguments, "y*y*y*w*w*w*w*y*y*y*LLLL", b, b + 1, b + 2, b + 3, b + 4, b + 5, b + 6, b + 7, b + 8, b + 9, &k,
                          &width, &first, &threads))
        return nullptr;
    Users users{};
    const int64_t groups = held.size<float>(4) / GROUP, depths = (width + DEPTH - 1) / DEPTH, stride = depths * DEPTH;
    const int64_t rows = width > 0 ? held.size<float>(8) / width : 0;
    if (width <= 0 || !users_of(held, k, users) || held.size<uint16_t>(7) != groups * GROUP * stride ||
        (held.size<uint8_t>(9) != 0 && held.size<uint8_t>(9) != rows))
        return refused("buffers of different sizes");
    int64_t faulty = 0;
    Py_BEGIN_ALLOW_THREADS;
    static thread_local Rounded memory;
    Rounded& block = memory;
    const uint8_t* eligible = held.size<uint8_t>(9) != 0 ? held.values<const uint8_t>(9) : nullptr;
    const Lengths lengths = block.take(held.values<const float>(8), rows, width, stride, GROUP, first, eligible, threads);
    faulty = lengths.faulty;
    if (faulty == 0) {
        users.widen(lengths.norm, lengths.residual);
        in_parts(groups, threads, [&](int64_t, int64_t from, int64_t to) {
            scan(users, from, to, held.values<const uint16_t>(7), {block.values, block.ids.data(), block.count(), depths});
        });
    }
    Py_END_ALLOW_THREADS;
    return PyLong_FromLongLong(faulty);
}

PyObject* finished(PyObject*, PyObject* arguments) {
    Buffers<11> held;
    Py_buffer* b = held.each;
    long long k = 0, width = 0, threads = 0;
    if (!PyArg_ParseTuple(arguments, "y*y*y*w*w*w*w*y*y*w*w*LLL", b, b + 1, b + 2, b + 3, b + 4, b + 5, b + 6, b + 7, b + 8, b + 9, b + 10, &k,
                          &width, &threads))
        return nullptr;
    Users users{};
    if (width <= 0 || !users_of(held, k, users) || held.size<float>(7) != users.count * width ||
        held.size<int64_t>(9) != users.count * k || held.size<float>(10) != users.count * k)
        return refused("buffers of different sizes");
    Py_BEGIN_ALLOW_THREADS;
    in_parts(users.count, threads, [&](int64_t, int64_t from, int64_t to) {
        finish(users, from, to, held.values<const float>(7), held.values<const float>(8), width,
               {held.values<int64_t>(9), held.values<float>(10)});
    });
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

PyObject* available(PyObject*, PyObject*) { return PyBool_FromLong(tiles_are_there()); }

PyMethodDef METHODS[] = {{"available", available, METH_NOARGS, nullptr},
                         {"finished", finished, METH_VARARGS, nullptr},
                         {"scan_block", scan_block, METH_VARARGS, nullptr},
                         {nullptr, nullptr, 0, nullptr}};
PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "_tiles", nullptr, 0, METHODS, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__tiles() { return PyModule_Create(&MODULE); }
