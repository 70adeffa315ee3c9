"""How tests share two workers (`-n 2 --dist loadgroup`): a file stays whole, and what starts ranks or pipelines runs alone."""

from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parent
ALONE: Final = "ranks"
"""Distributed and end-to-end tests have watchdogs and two processes of their own: two at once would time each other."""
ORDER: Final = ("spark", "distributed", "e2e", "unit", "architecture")
"""What takes long starts first, and the many short files fill up the worker that is done."""
LONGEST: Final = ("test_features.py", "test_ingest.py", "test_submit.py", "test_score_users.py", "test_training_set.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Before xdist reads the groups. Alone, in one process, tests keep the order they were asked for."""
    for item in items:
        room = _room(item)
        group = ALONE if room in {"distributed", "e2e"} else f"{room}/{item.path.name}"
        item.add_marker(pytest.mark.xdist_group(group))
    if hasattr(config, "workerinput"):
        items.sort(key=_turn)


def _room(item: pytest.Item) -> str:
    return item.path.relative_to(TESTS).parts[0]


def _turn(item: pytest.Item) -> tuple[int, int]:
    room, name = _room(item), item.path.name
    return ORDER.index(room), LONGEST.index(name) if name in LONGEST else len(LONGEST)
