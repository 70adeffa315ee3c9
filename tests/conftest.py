"""How tests share two workers (`-n 2`): a file stays whole, and what starts ranks or pipelines never runs beside its kind."""

import os
from typing import Final

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Two workers on two cores: a pool of threads in each would wait for the other's. Before anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ALONE: Final = ("tests/distributed/", "tests/e2e/")
"""They have watchdogs and two processes of their own: two at once would time each other."""
BESIDE: Final = ("tests/e2e/test_notebook.py", "tests/e2e/test_small_shop.py")
"""Nights on lakes of their own, beside those that share a full run (`make test-night`); no part of `make test`."""
ORDER: Final = ("tests/spark/", *ALONE, "")
"""What takes long starts first, and the many short files fill up the worker that is done."""
LONGEST: Final = (
    "test_bucket.py",
    "test_features.py",
    "test_ingest.py",
    "test_submit.py",
    "test_score_users.py",
    "test_training_set.py",
)


class ByFile(LoadScopeScheduling):
    """A unit of work is a file; all files that run alone are one. (xdist's own groups do not reach it under pytest 9.2.)"""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(BESIDE):
            return "beside"
        return "alone" if nodeid.startswith(ALONE) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return ByFile(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In one process, tests keep the order they were asked for."""
    if hasattr(config, "workerinput"):
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[int, int]:
    room = next(index for index, start in enumerate(ORDER) if item.nodeid.startswith(start))
    return room, LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST)
