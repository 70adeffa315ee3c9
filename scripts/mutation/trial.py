"""A pytest session that runs its tests many times: in one fork without a fault, then in one for each fault."""

import ast
import importlib
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

from scripts.mutation.graft import faulty, graft
from scripts.mutation.operators import Mutant, mutants

PASSED, FAILED, BROKEN = 0, 1, 3
EXAMPLES: Final = 40
"""Of a random test."""


@dataclass
class Trial:
    """A pytest plugin: in place of the usual run it tries all faults of `module`. Tests are collected before any fork."""

    module: str
    source: Path
    workers: int
    tried: int = 0
    survivors: list[Mutant] = field(default_factory=list)
    running: dict[int, tuple[Mutant, float]] = field(default_factory=dict)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        _quick_ones_first(session.items)
        tree = ast.parse(self.source.read_text(encoding="utf-8"))
        began = time.monotonic()
        if os.waitstatus_to_exitcode(os.waitpid(self._fork(session, tree, None), 0)[1]) != PASSED:
            raise pytest.UsageError(f"the tests of {self.module} fail without a fault: fix them first")
        limit: Final = 10 + 10 * (time.monotonic() - began)
        for mutant in mutants(tree):
            self.tried += 1
            while len(self.running) >= self.workers:
                self._reap()
            self.running[self._fork(session, tree, mutant)] = (mutant, time.monotonic() + limit)
        while self.running:
            self._reap()
        return True

    def _fork(self, session: pytest.Session, tree: ast.Module, mutant: Mutant | None) -> int:
        child = os.fork()
        if child == 0:
            try:
                os.setsid()
                os._exit(_tested(session, self.module, tree, mutant))
            finally:
                os._exit(BROKEN)
        return child

    def _reap(self) -> None:
        """Waits a moment for children; one that is over its time is ended and counts as caught."""
        for child, (mutant, end) in list(self.running.items()):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
                if code == BROKEN:
                    raise pytest.UsageError(f"cannot try this fault of {self.module}: {mutant}")
                if code == PASSED:
                    self.survivors.append(mutant)
                    print(f"  {mutant}", flush=True)
            elif time.monotonic() > end:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
            else:
                continue
            del self.running[child]
        time.sleep(0.01)


def _quick_ones_first(items: list[pytest.Item]) -> None:
    """Tables by hand, then random tests, of fewer examples than usual: most faults are found by the first few."""
    items.sort(key=lambda item: hasattr(item.obj, "hypothesis"))  # type: ignore[attr-defined]
    for item in items:
        usual = getattr(item.obj, "_hypothesis_internal_use_settings", None)  # type: ignore[attr-defined]
        if usual:
            fewer = settings(usual, max_examples=min(usual.max_examples, EXAMPLES))
            item.obj._hypothesis_internal_use_settings = fewer  # type: ignore[attr-defined]


def _tested(session: pytest.Session, module: str, tree: ast.Module, mutant: Mutant | None) -> int:
    if mutant:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        mutant.apply()
        loaded = importlib.import_module(module)
        try:
            copy = faulty(loaded, tree)
        except SyntaxError:
            return BROKEN
        except Exception:  # a module that cannot be imported is found by any test
            return FAILED
        graft(loaded, copy)
    for item, following in zip(session.items, [*session.items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return FAILED
    sys.stdout.flush()
    return PASSED
