"""What every file of the checkout keeps to."""

import re

from tests.architecture.tree import ROOT, imports_of, modules, tracked_files

LONGEST = 220
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".json", ".j2", ".css", ".lock", ".sh", ".txt", ".cfg", ".html", ""}
NAMELESS = {"utils", "util", "helpers", "common", "misc"}
# Put together from parts, so that this file does not hold what it looks for.
MACHINE = re.compile(
    "|".join(f"(?<![\\w.~-])/{part}/" for part in ("wo" + "rk", "ro" + "ot", "ho" + r"me/\w+", "opt/wh" + "eels"))
)
REGISTRY = re.compile(
    "|".join(
        ("py" + r"pi\.org", "pythonho" + "sted", "npm" + "js", r"repo1?\.mav" + "en", "artif" + "actory", "index" + "-url=")
    )
)


def texts():
    for path in tracked_files():
        if path.suffix in TEXT and path.stat().st_size < 2_000_000:
            yield path.relative_to(ROOT).as_posix(), path.read_text(errors="replace")


def test_no_file_names_this_machine_or_a_package_registry():
    found = [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match.group(0)}"
        for name, text in texts()
        for pattern in (MACHINE, REGISTRY)
        for match in pattern.finditer(text)
    ]
    assert found == []


def test_locks_hold_hashes_and_no_address():
    for name in (
        "requirements.lock",
        "requirements-horovod.lock",
        "requirements-tools.lock",
        "requirements-airflow.lock",
        "requirements-mlflow.lock",
    ):
        text = (ROOT / name).read_text()
        assert "://" not in text and " @ " not in text
        pinned = re.findall(r"^[A-Za-z0-9._-]+(?:\[[^\]]+\])?==", text, re.M)
        hashed = re.findall(r"^[A-Za-z0-9._-]+(?:\[[^\]]+\])?==[^\n]*\\\n    --hash=sha256:", text, re.M)
        assert pinned and len(pinned) == len(hashed)


def test_files_are_short_enough_to_read():
    lengths = {p.relative_to(ROOT).as_posix(): len(p.read_text().splitlines()) for p in modules()}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


def test_every_module_has_a_name_that_says_something():
    assert [p.relative_to(ROOT).as_posix() for p in modules() if NAMELESS & {p.stem, p.parent.name}] == []


def test_no_room_imports_tests():
    assert [str(p.relative_to(ROOT)) for p in modules() if any(i.module.split(".")[0] == "tests" for i in imports_of(p))] == []


def test_rooms_are_imported_by_their_installed_name():
    rooms = {path.name for path in (ROOT / "nightrank").iterdir() if path.is_symlink()} - {"conf"}
    assert rooms == {"feature_store", "experiments", "ranker", "spark_jobs", "trainer", "pipeline"}
    files = [path for path in tracked_files() if path.suffix == ".py"]
    wrong = [str(p.relative_to(ROOT)) for p in files for i in imports_of(p) if i.module.split(".")[0] in rooms]
    assert wrong == []
