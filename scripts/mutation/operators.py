"""Small faults: every way in which one node of a syntax tree is made wrong.

They are mutmut's, applied to whole files (mutmut leaves out module constants and what is decorated, so every frozen dataclass),
and some that are harder to catch: bounds of slices, guards that are always or never true, swapped `min` and `max`.
Left alone are annotations, decorators, docstrings, the dtype and device of arrays, and the words of errors that are raised.
"""

import ast
from collections.abc import Iterator
from os.path import commonprefix
from typing import Final, NamedTuple

COMPARED: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
CALCULATED: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Div,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.MatMult: ast.Mult,
}
OTHER_NAME: Final = {"min": "max", "max": "min", "any": "all", "all": "any", "minimum": "maximum", "maximum": "minimum"}
NO_CODE: Final = ("annotation", "returns", "decorator_list", "format_spec", "type_params")


class Mutant(NamedTuple):
    """`parent.field` (or its element `index`) is `old` and becomes `new`."""

    line: int
    parent: ast.AST
    field: str
    index: int | None
    old: ast.AST
    new: ast.AST

    def apply(self) -> None:
        ast.copy_location(self.new, self.old)
        if self.index is None:
            setattr(self.parent, self.field, self.new)
        else:
            getattr(self.parent, self.field)[self.index] = self.new

    def __str__(self) -> str:
        old, new = (" ".join(ast.unparse(node).split()) for node in (self.old, self.new))
        start = max(0, len(commonprefix([old, new])) - 30)
        return f"line {self.line}: `{old[start : start + 90]}` became `{new[start : start + 90]}`"


def mutants(tree: ast.AST, line: int = 0, raised: bool = False) -> Iterator[Mutant]:
    """All of a tree, in the order of the source."""
    for field, value in ast.iter_fields(tree):
        if field in NO_CODE or _is_literal_type(tree):
            continue
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(node, ast.AST) or _is_docstring(node):
                continue
            here, inside = getattr(node, "lineno", line), raised or isinstance(node, ast.Raise)
            if not (inside and _is_wording(node, tree)):
                yield from (Mutant(here, tree, field, index, node, new) for new in _faults(node))
            yield from mutants(node, here, inside)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_wording(node: ast.AST, parent: ast.AST) -> bool:
    """A text of a raised error, or the call that makes the error."""
    return isinstance(parent, ast.Raise) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _is_literal_type(node: ast.AST) -> bool:
    return isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Literal"


def _faults(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Constant():
            yield from _constants(node)
        case ast.Compare():
            yield from _comparisons(node)
        case ast.Call():
            yield from _calls(node)
        case ast.stmt():
            yield from _statements(node)
        case ast.BinOp() | ast.BoolOp() | ast.UnaryOp():
            yield from _calculations(node)
        case ast.IfExp():
            yield from (node.body, node.orelse)
        case ast.comprehension(target, source, [_, *_], is_async):
            yield ast.comprehension(target, source, [], is_async)
        case ast.Slice(lower, upper, step):
            yield from [ast.Slice(None, upper, step)] if lower else []
            yield from [ast.Slice(lower, None, step)] if upper else []


def _constants(node: ast.Constant) -> Iterator[ast.AST]:
    match node.value:
        case bool(value):
            yield ast.Constant(not value)
        case int(value):
            yield from (ast.Constant(value + 1), ast.Constant(value - 1))
        case float(value):
            yield from (ast.Constant(value + 1), ast.Constant(value / 2 if value else -1.0))
        case str(value):
            yield ast.Constant(f"XX{value}XX")


def _calculations(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.BinOp(left, op, right) if type(op) in CALCULATED:
            yield ast.BinOp(left, CALCULATED[type(op)](), right)
        case ast.BoolOp(op, values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
        case ast.UnaryOp():
            yield node.operand


def _comparisons(node: ast.Compare) -> Iterator[ast.AST]:
    for at, op in enumerate(node.ops):
        for other in COMPARED[type(op)]:
            yield ast.Compare(node.left, [*node.ops[:at], other(), *node.ops[at + 1 :]], node.comparators)


def _calls(node: ast.Call) -> Iterator[ast.AST]:
    """Without one keyword argument; an argument nothing; a call of the opposite function."""
    for at, keyword in enumerate(node.keywords):
        if keyword.arg not in ("dtype", "device"):
            yield ast.Call(node.func, node.args, node.keywords[:at] + node.keywords[at + 1 :])
    for at, argument in enumerate(node.args):
        if not isinstance(argument, ast.Starred) and not _is_dtype(argument):
            yield ast.Call(node.func, [*node.args[:at], ast.Constant(None), *node.args[at + 1 :]], node.keywords)
    match node.func:
        case ast.Name(name) if name in OTHER_NAME:
            yield ast.Call(ast.Name(OTHER_NAME[name], ast.Load()), node.args, node.keywords)
        case ast.Attribute(value, name) if name in OTHER_NAME:
            yield ast.Call(ast.Attribute(value, OTHER_NAME[name], ast.Load()), node.args, node.keywords)


def _is_dtype(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("np", "torch")


def _statements(node: ast.stmt) -> Iterator[ast.AST]:
    match node:
        case ast.Expr() | ast.Raise() | ast.Continue() | ast.Break() | ast.Assign([ast.Subscript() | ast.Attribute()]):
            yield ast.Pass()
        case ast.AugAssign(target, op, value):
            yield ast.Pass()
            if type(op) in CALCULATED:
                yield ast.AugAssign(target, CALCULATED[type(op)](), value)
        case ast.Return(value) if value and not (isinstance(value, ast.Constant) and value.value is None):
            yield ast.Return(ast.Constant(None))
        case ast.If(_, body, orelse):
            yield from (ast.If(ast.Constant(answer), body, orelse) for answer in (True, False))
