"""The compiled parts; all else is in pyproject.toml."""

import importlib.util
import platform
from pathlib import Path

from setuptools import Extension, setup

NATIVE = Path("trainer/data/native")
HEADERS = [str(path) for path in sorted(NATIVE.glob("*.hpp"))]
FLAGS = ["-O3", "-std=c++17"]


def native() -> Extension:
    """The inner loops of the reader."""
    return Extension(
        "nightrank.trainer.data._native",
        [str(NATIVE / "module.cpp")],
        depends=HEADERS,
        language="c++",
        extra_compile_args=FLAGS,
    )


def tiles() -> Extension:
    """Exact top-k by bf16 tiles. A compiler that does not know them leaves it out, and torch's own products do the work."""
    folder = Path("ranker/retrieval/native")
    return Extension(
        "nightrank.ranker.retrieval._tiles",
        [str(folder / "module.cpp")],
        depends=[str(path) for path in sorted(folder.glob("*.hpp"))] + HEADERS,
        language="c++",
        extra_compile_args=[*FLAGS, "-pthread", "-Wno-uninitialized", "-Wno-maybe-uninitialized"],
        extra_link_args=["-pthread"],
        optional=True,
    )


def parquet() -> Extension:
    """Training rows by libparquet, out of the installed pyarrow; built for that version alone."""
    spec = importlib.util.find_spec("pyarrow")
    if spec is None or spec.origin is None:
        raise SystemExit("pyarrow is not installed; run `make setup`")
    pyarrow = Path(spec.origin).parent
    libraries = [next(pyarrow.glob(f"{name}.so.*")) for name in ("libarrow", "libparquet")]
    new_abi = b"OpenFileERKNSt7__cxx11" in libraries[1].read_bytes()  # else the string ABI from before C++11
    return Extension(
        "nightrank.trainer.data._parquet",
        [str(NATIVE / "parquet.cpp")],
        depends=HEADERS,
        language="c++",
        include_dirs=[str(pyarrow / "include")],
        define_macros=[("_GLIBCXX_USE_CXX11_ABI", str(int(new_abi)))],
        extra_compile_args=FLAGS,
        extra_link_args=[f"-L{pyarrow}", *(f"-l:{library.name}" for library in libraries)],
    )


X86 = [tiles()] if platform.machine() in ("x86_64", "AMD64") else []
setup(ext_modules=[native(), parquet(), *X86])
