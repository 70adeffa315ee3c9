"""The one compiled part; all else is in pyproject.toml."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "trainer.data._native",
            ["trainer/data/native/module.cpp"],
            depends=[f"trainer/data/native/{name}.hpp" for name in ("heads", "order", "scatter")],
            language="c++",
            extra_compile_args=["-O3", "-std=c++17"],
        )
    ]
)
