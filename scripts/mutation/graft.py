"""Gives a loaded module the code of a faulty copy, in place: whoever imported its names earlier runs the faulty code too."""

import ast
import sys
from functools import cached_property
from types import CodeType, FunctionType, ModuleType
from typing import Any


def faulty(module: ModuleType, tree: ast.Module) -> ModuleType:
    """The copy. Whatever it raises while it is imported is raised here."""
    copy = ModuleType(module.__name__)
    copy.__file__ = module.__file__
    code: CodeType = compile(ast.fix_missing_locations(tree), str(module.__file__), "exec")
    exec(code, vars(copy))
    return copy


def graft(module: ModuleType, copy: ModuleType) -> None:
    for name, new in list(vars(copy).items()):
        old = vars(module).get(name)
        if name.startswith("__") or new is old:
            continue
        if getattr(new, "__module__", None) == module.__name__ and isinstance(new, FunctionType | type):
            _replace(old, new)
        else:
            _replace_constant(name, old, new)


def _replace(old: Any, new: Any) -> None:
    if isinstance(new, FunctionType):
        old.__code__, old.__defaults__, old.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__
    elif isinstance(new, type):
        for name, member in vars(new).items():
            _replace_member(old, name, member)


def _replace_member(owner: type, name: str, new: Any) -> None:
    old = vars(owner).get(name)
    if isinstance(new, FunctionType):
        _replace(old, new)
    elif isinstance(new, property | cached_property | classmethod | staticmethod):
        for part in ("fget", "func", "__func__"):
            if hasattr(new, part):
                _replace(getattr(old, part), getattr(new, part))
    elif isinstance(new, bool | int | float | str | tuple) and not name.startswith("__"):
        setattr(owner, name, new)


def _replace_constant(name: str, old: Any, new: Any) -> None:
    for module in list(sys.modules.values()):
        if vars(module).get(name) is old:
            setattr(module, name, new)
