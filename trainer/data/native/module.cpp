// nightrank.trainer.data._native, as _native.pyi describes it: buffers in, buffers filled, Python's lock let go of meanwhile.

#include "buffers.hpp"
#include "heads.hpp"
#include "order.hpp"
#include "scatter.hpp"

namespace {

using namespace nightrank;

PyObject* scatter_rows(PyObject*, PyObject* arguments) {
    Buffers<3> held;
    Py_buffer* b = held.each;
    if (!PyArg_ParseTuple(arguments, "y*y*w*", b, b + 1, b + 2)) return nullptr;
    if (held.size<Part>(0) != 1 || held.values<const Part>(0)->rows != held.size<int32_t>(1)) return refused("there is a batch for each row");
    int64_t fault = 0;
    Py_BEGIN_ALLOW_THREADS;
    fault = scatter(*held.values<const Part>(0), held.values<const int32_t>(1), held.values<Cursor>(2), held.size<Cursor>(2));
    Py_END_ALLOW_THREADS;
    if (fault >= 0) return PyErr_Format(PyExc_IndexError, "row %lld does not fit its batch", (long long)fault);
    Py_RETURN_NONE;
}

PyObject* heads_of(PyObject*, PyObject* arguments) {
    Buffers<9> held;
    Py_buffer* b = held.each;
    if (!PyArg_ParseTuple(arguments, "w*y*y*y*y*y*y*y*y*", b, b + 1, b + 2, b + 3, b + 4, b + 5, b + 6, b + 7, b + 8)) return nullptr;
    const int64_t rows = held.size<int32_t>(4);
    for (int at = 1; at < 8; ++at)
        if (held.size<int32_t>(at) != rows + (at < 4)) return refused("columns of different sizes");
    if (held.size<Head>(0) != rows + 1) return refused("there is a head for each row and one more");
    const Columns from{{held.values<const int32_t>(1), held.values<const int32_t>(2), held.values<const int32_t>(3)},
                       held.values<const int32_t>(4),
                       held.values<const int32_t>(5),
                       held.values<const int32_t>(6),
                       held.values<const float>(7),
                       rows};
    bool fine = false;
    Span span{};
    Py_BEGIN_ALLOW_THREADS;
    fine = fill_heads(from, held.values<Head>(0));
    span = span_of(held.values<const int32_t>(8), held.size<int32_t>(8));
    Py_END_ALLOW_THREADS;
    return Py_BuildValue("Oii", fine ? Py_True : Py_False, span.low, span.high);
}

PyObject* permutation(PyObject*, PyObject* arguments) {
    Buffers<1> held;
    unsigned long long seed = 0;
    if (!PyArg_ParseTuple(arguments, "w*K", held.each, &seed)) return nullptr;
    Py_BEGIN_ALLOW_THREADS;
    permute(held.values<int64_t>(0), held.size<int64_t>(0), seed);
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

PyObject* sorted_by_length(PyObject*, PyObject* arguments) {
    Buffers<2> held;
    unsigned long long seed = 0;
    if (!PyArg_ParseTuple(arguments, "w*y*K", held.each, held.each + 1, &seed)) return nullptr;
    if (held.size<int64_t>(0) != held.size<int32_t>(1)) return refused("there is a place for each length");
    bool fine = false;
    Py_BEGIN_ALLOW_THREADS;
    fine = by_length(held.values<int64_t>(0), held.values<const int32_t>(1), held.size<int32_t>(1), seed);
    Py_END_ALLOW_THREADS;
    if (!fine) return refused("a length is below 0");
    Py_RETURN_NONE;
}

PyObject* assigned(PyObject*, PyObject* arguments) {
    Buffers<5> held;
    Py_buffer* b = held.each;
    unsigned long long seed = 0;
    if (!PyArg_ParseTuple(arguments, "w*w*y*y*y*K", b, b + 1, b + 2, b + 3, b + 4, &seed)) return nullptr;
    if (b[0].len != b[2].len || b[1].len != b[3].len || b[3].len != b[4].len) return refused("arrays of different sizes");
    bool fine = false;
    Py_BEGIN_ALLOW_THREADS;
    fine = deal(held.values<int32_t>(0), held.values<int64_t>(1), held.values<const int32_t>(2), held.size<int32_t>(2),
                held.values<const int64_t>(3), held.values<const int64_t>(4), held.size<int64_t>(3), seed);
    Py_END_ALLOW_THREADS;
    if (!fine) return refused("a length is below 0, or the batches do not take every place");
    Py_RETURN_NONE;
}

PyMethodDef METHODS[] = {{"assigned", assigned, METH_VARARGS, nullptr},
                         {"heads_of", heads_of, METH_VARARGS, nullptr},
                         {"permutation", permutation, METH_VARARGS, nullptr},
                         {"scatter_rows", scatter_rows, METH_VARARGS, nullptr},
                         {"sorted_by_length", sorted_by_length, METH_VARARGS, nullptr},
                         {nullptr, nullptr, 0, nullptr}};
PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "_native", nullptr, 0, METHODS, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__native() { return PyModule_Create(&MODULE); }
