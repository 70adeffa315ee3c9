"""What is printed is for the user of a command and goes through one door; everything else is logged."""

import ast

from tests.architecture.tree import ROOT, modules

DOORS = {
    "feature_store/contracts/logs.py": "every line of a log",
    "feature_store/contracts/one_answer.py": "a program's answer, to the command that starts it",
    "pipeline/output.py": "every answer of a command",
    "pipeline/progress.py": "the live table of a run",
    "ranker/bundle/answering.py": "its answers, to the service that starts it",
}
WRITERS = ("print", "echo", "secho", "print_exc")


def written_by(source: str) -> list[int]:
    """Lines that write to the screen: print and its kin, and writes to sys.stdout and sys.stderr."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if _prints(call.func) or any(_stream(each) for each in _given(call))]


def _prints(called: ast.expr) -> bool:
    name = called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
    return name in WRITERS or (name == "write" and isinstance(called, ast.Attribute) and _stream(called.value))


def _given(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def _stream(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in ("stdout", "stderr") and ast.unparse(node.value) == "sys"


def test_a_print_is_found_in_whatever_form():
    forms = (
        "print(1)",
        "typer.echo(1)",
        "console.print(1)",
        "sys.stderr.write('a')",
        "json.dump({}, sys.stdout)",
        "f(file=sys.stderr)",
    )
    assert [written_by(form) for form in forms] == [[1]] * len(forms)
    assert written_by("sys.stdout.flush(); log.info('a'); text = 'print(1)'") == []


def test_only_the_doors_write_to_the_screen():
    found = {path.relative_to(ROOT).as_posix() for path in modules() if written_by(path.read_text())}
    assert found == set(DOORS)
