"""The one compiled part; all else is in pyproject.toml."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension("trainer.data._gather", ["trainer/data/gather.cpp"], language="c++", extra_compile_args=["-O3", "-std=c++17"])
    ]
)
