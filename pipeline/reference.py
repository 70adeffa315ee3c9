"""`nightrank config --reference`: every setting with its type, its default and one sentence, from the configuration classes."""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.pipeline.config import NightConfig

HEAD = """# Every setting

Made by `nightrank config --reference > docs/reference/settings.md`; do not edit it. Set a key in a file given to `--config`,
or on the command line as `--set key=value`. `nightrank config --show` prints the values in use.
"""


def reference() -> str:
    """The page, as Markdown."""
    parts = [HEAD]
    for section, field in NightConfig.model_fields.items():
        models = _models(field.annotation)
        parts.append(f"\n## `{section}`\n")
        if not models:
            parts.append(f"\n{_sentence(NightConfig, section)} Default: `{_default(field)}`.\n")
            continue
        parts.append(f"\n{_class_sentence(models[0])}\n" if _class_sentence(models[0]) else "")
        for title, rows in _tables(section, models[0]):
            parts.append(f"\n{title}\n" if title else "")
            parts.append("\n| key | type | default | what it does |\n|---|---|---|---|\n")
            parts.extend(f"| `{key}` | {kind} | {default} | {text} |\n" for key, kind, default, text in rows)
    return "".join(parts)


def missing() -> list[str]:
    """`Class.field` of every setting without a sentence."""
    found = {
        f"{model.__name__}.{name}"
        for model in _all_models(NightConfig)
        for name, field in model.model_fields.items()
        if not _models(field.annotation) and not _is_tag(field.annotation, name) and not _sentence(model, name)
    }
    return sorted(found)


def _tables(prefix: str, model: type[FrozenConfig], title: str = "") -> Iterator[tuple[str, list[tuple[str, str, str, str]]]]:
    """The model's own settings, then those of what is nested in it; a table for each alternative of a choice."""
    own, nested = [], []
    for name, field in model.model_fields.items():
        models = _models(field.annotation)
        if models:
            nested.append((f"{prefix}.{name}", models))
        else:
            default = "" if field.is_required() else f"`{_default(field)}`"
            own.append((f"{prefix}.{name}", _type(field.annotation), default, _sentence(model, name)))
    if own:
        yield title, own
    for key, models in nested:
        for one in models:
            chosen = f"**`{key}: {{name: {_tag(one)}}}`** {_class_sentence(one)}" if len(models) > 1 else ""
            yield from _tables(key, one, chosen or _class_sentence(one))


def _models(annotation: Any) -> list[type[FrozenConfig]]:
    """The configuration classes an annotation admits."""
    if inspect.isclass(annotation) and issubclass(annotation, FrozenConfig):
        return [annotation]
    if get_origin(annotation) in (Union, UnionType, Annotated):
        return [model for part in get_args(annotation) for model in _models(part)]
    return []


def _all_models(model: type[FrozenConfig]) -> Iterator[type[FrozenConfig]]:
    yield model
    for field in model.model_fields.values():
        for nested in _models(field.annotation):
            yield from _all_models(nested)


def _type(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin is Annotated:
        return _type(parts[0])
    if origin in (Union, UnionType):
        return " or ".join("nothing" if part is type(None) else _type(part) for part in parts)
    if origin is tuple:
        return f"list of {_type(parts[0])}"
    if origin is dict:
        return "mapping"
    return {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}.get(
        annotation.__name__, "mapping" if _models(annotation) else "text"
    )


def _default(field: Any) -> str:
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True)
    return "null" if value is None else value if isinstance(value, str) else json.dumps(value, default=_dumped)


def _dumped(value: Any) -> Any:
    return value.model_dump(mode="json", exclude_none=True) if isinstance(value, FrozenConfig) else str(value)


def _sentence(model: type, name: str) -> str:
    """The field's docstring, from the last class that has one."""
    return next((sentence for kind in model.__mro__ if (sentence := _documented(kind).get(name))), "")


@cache
def _documented(kind: type) -> dict[str, str]:
    if not issubclass(kind, FrozenConfig):
        return {}
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    found, lines = {}, getattr(body, "body", [])
    for line, after in pairwise(lines):
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and isinstance(after, ast.Expr):
            found[line.target.id] = _one_line(ast.literal_eval(after.value))
    return found


def _class_sentence(model: type) -> str:
    return _one_line(model.__doc__) if model.__doc__ and model.__doc__ != FrozenConfig.__doc__ else ""


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _is_tag(annotation: Any, name: str) -> bool:
    return name == "name" and get_origin(annotation) is Literal


def _tag(model: type[FrozenConfig]) -> str:
    return " or ".join(get_args(model.model_fields["name"].annotation))
