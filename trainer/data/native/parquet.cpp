// nightrank.trainer.data._parquet, as _parquet.pyi describes it. It is linked against the libraries that pyarrow brings, and finds them when
// pyarrow.parquet has been imported.

#include "buffers.hpp"
#include "leaves.hpp"

namespace {

using namespace nightrank;

constexpr const char* FOOTER = "nightrank.trainer.data._parquet.footer";
using Footer = std::shared_ptr<parquet::FileMetaData>;

// What `work` gives, without Python's lock; `why` says what it threw instead.
template <typename Work>
auto unlocked(Work work, std::string& why) {
    decltype(work()) made{};
    Py_BEGIN_ALLOW_THREADS;
    try {
        made = work();
    } catch (const std::exception& error) {
        why = error.what();
        if (why.empty()) why = "libparquet gave no reason";
    }
    Py_END_ALLOW_THREADS;
    return made;
}

PyObject* unreadable(const std::string& why) {
    PyErr_SetString(PyExc_OSError, why.c_str());
    return nullptr;
}

Footer* footer_in(PyObject* capsule) { return static_cast<Footer*>(PyCapsule_GetPointer(capsule, FOOTER)); }

void let_go(PyObject* capsule) { delete footer_in(capsule); }

PyObject* footer(PyObject*, PyObject* arguments) {
    const char* path = nullptr;
    if (!PyArg_ParseTuple(arguments, "s", &path)) return nullptr;
    std::string why;
    Footer found = unlocked([&] { return parquet::ParquetFileReader::OpenFile(path)->metadata(); }, why);
    return found ? PyCapsule_New(new Footer(std::move(found)), FOOTER, let_go) : unreadable(why);
}

PyObject* shape(PyObject*, PyObject* arguments) {
    PyObject* capsule = nullptr;
    const char* name = nullptr;
    int group = 0;
    if (!PyArg_ParseTuple(arguments, "Ois", &capsule, &group, &name)) return nullptr;
    const Footer* found = footer_in(capsule);
    if (found == nullptr) return nullptr;
    const int leaf = leaf_of(*(*found)->schema(), name);
    if (group < 0 || group >= (*found)->num_row_groups() || leaf < 0) Py_RETURN_NONE;
    const auto rows = (*found)->RowGroup(group);
    return Py_BuildValue("LL", (long long)rows->num_rows(), (long long)rows->ColumnChunk(leaf)->num_values());
}

PyObject* read_rows(PyObject*, PyObject* arguments) {
    Buffers<8> held;
    Py_buffer* b = held.each;
    PyObject* capsule = nullptr;
    const char* path = nullptr;
    int group = 0;
    Names names{};
    if (!PyArg_ParseTuple(arguments, "Osi(sssssss)(w*w*w*w*w*w*w*w*)", &capsule, &path, &group, &names.users, &names.stated,
                          &names.loss_from, &names.weight, &names.items, &names.actions, &names.times, b, b + 1, b + 2, b + 3, b + 4,
                          b + 5, b + 6, b + 7))
        return nullptr;
    const Footer* found = footer_in(capsule);
    if (found == nullptr) return nullptr;
    const int64_t rows = held.size<int32_t>(0), tokens = held.size<int32_t>(5);
    for (int at = 1; at < 5; ++at)
        if (held.size<int32_t>(at) != rows + (at == 4)) return refused("columns of different sizes");
    if (held.size<int8_t>(6) != tokens || held.size<int64_t>(7) != tokens) return refused("lists of different sizes");
    const Leaves to{held.values<int32_t>(0), held.values<int32_t>(1), held.values<int32_t>(2), held.values<float>(3),
                    held.values<int32_t>(4), held.values<int32_t>(5), held.values<int8_t>(6), held.values<int64_t>(7), rows, tokens};
    std::string why;
    const bool plain = unlocked(
        [&] {
            const auto file = parquet::ParquetFileReader::OpenFile(path, false, parquet::default_reader_properties(), *found);
            return read_leaves(*file, group, names, to);
        },
        why);
    return why.empty() ? PyBool_FromLong(plain) : unreadable(why);
}

PyMethodDef METHODS[] = {{"footer", footer, METH_VARARGS, nullptr},
                         {"shape", shape, METH_VARARGS, nullptr},
                         {"read_rows", read_rows, METH_VARARGS, nullptr},
                         {nullptr, nullptr, 0, nullptr}};
PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "_parquet", nullptr, 0, METHODS, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__parquet() { return PyModule_Create(&MODULE); }
