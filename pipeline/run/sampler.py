"""What a stage costs while it runs: memory and CPU of its process and of everything below it, sampled by the runner."""

import time
from typing import Final

import psutil

from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.storage import Location

EVERY_SECONDS: Final = 2.0
MOST: Final = 500
"""Samples kept of one stage: of a longer one every second sample goes, again and again."""


class Sampler:
    """Samples of the stage that runs now. `system/<stage>.json` in the run's folder holds them once it has ended."""

    def __init__(self, run_dir: Location) -> None:
        self._folder = run_dir / "system"
        self._cpu: dict[int, float] = {}
        self.start()

    def start(self) -> None:
        """Another stage begins; its process may be the one before's."""
        self._samples: list[dict[str, float]] = []
        self._every = EVERY_SECONDS
        self._started = self._last = time.monotonic()

    def look(self, pid: int) -> None:
        """Takes a sample of the tree under `pid`, if the last one is old enough."""
        now = time.monotonic()
        if now - self._last < self._every:
            return
        used, rss = self._tree(pid)
        sample = {
            "seconds": round(now - self._started, 1),
            "cpu_percent": round(100 * used / (now - self._last), 1),
            "rss_mib": round(rss / 2**20, 1),
        }
        self._last = now
        self._samples.append(sample)
        if len(self._samples) > MOST:
            self._samples, self._every = self._samples[::2], 2 * self._every

    def write(self, stage: str) -> None:
        if self._samples:
            write_json(self._folder / f"{stage}.json", {"samples": self._samples})

    def _tree(self, pid: int) -> tuple[float, int]:
        """(CPU seconds since the last look, resident bytes) of the process and all below it."""
        used, rss, seen = 0.0, 0, {}
        for process in _tree_of(pid):
            try:
                times, memory = process.cpu_times(), process.memory_info()
            except psutil.Error:
                continue
            seen[process.pid] = times.user + times.system
            used += max(0.0, seen[process.pid] - self._cpu.get(process.pid, 0.0))
            rss += memory.rss
        self._cpu = seen
        return used, rss


def _tree_of(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []
