// What the modules share: Python's buffers, held for one call.

#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstdint>

namespace nightrank {

// The buffers of one call, given back whatever happens.
template <int COUNT>
class Buffers {
  public:
    Py_buffer each[COUNT] = {};
    ~Buffers() {
        for (Py_buffer& buffer : each)
            if (buffer.obj != nullptr) PyBuffer_Release(&buffer);
    }

    template <typename T>
    T* values(int at) const {
        return static_cast<T*>(each[at].buf);
    }
    template <typename T>
    int64_t size(int at) const {
        return each[at].len / static_cast<int64_t>(sizeof(T));
    }
};

inline PyObject* refused(const char* what) {
    PyErr_SetString(PyExc_ValueError, what);
    return nullptr;
}

}  // namespace nightrank
