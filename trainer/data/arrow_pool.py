"""A thread pool for Petastorm's Reader that passes on every row group, in the order they were asked for.

Petastorm's own pool asks `all_workers_done()` before `ventilator.completed()`; whatever is queued between the two calls is
silently lost. This one knows how many row groups the plan holds and takes result i from worker i mod W, so it can neither
end early nor change the order.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from nightrank.feature_store.contracts.errors import DataContractError

POLL_SECONDS: Final = 0.2
"""How often a waiting reader looks whether its workers still live; no result waits for it."""

_STOP: Final = object()
EndOfPlan = Callable[[], BaseException]


class Feed:
    """Petastorm's ventilator protocol (start, processed_item, completed, stop) without a thread: `ahead` items at once, then
    one for each that was taken. Petastorm's own wakes up every millisecond to see whether there is room."""

    def __init__(self, ventilate: Callable[..., None], items: Sequence[Mapping[str, Any]], ahead: int) -> None:
        self._ventilate = ventilate
        self._ahead = ahead
        self._waiting: Iterator[Mapping[str, Any]] = iter(items)
        self._left = len(items)

    def start(self) -> None:
        self._give(self._ahead)

    def processed_item(self) -> None:
        self._give(1)

    def completed(self) -> bool:
        return self._left == 0

    def stop(self) -> None:
        self._left = 0

    def _give(self, count: int) -> None:
        for item in islice(self._waiting, min(count, self._left)):
            self._left -= 1
            self._ventilate(**item)


class ArrowPool:
    """Petastorm's pool protocol (start, ventilate, get_results, stop, join): `workers` threads, exactly `planned` items."""

    def __init__(self, workers: int, planned: int, end: EndOfPlan) -> None:
        self.workers_count = workers
        self._planned = planned
        self._end = end
        self._inboxes: list[queue.SimpleQueue[Any]] = [queue.SimpleQueue() for _ in range(workers)]
        self._outboxes: list[queue.SimpleQueue[Any]] = [queue.SimpleQueue() for _ in range(workers)]
        self._threads: list[threading.Thread] = []
        self._ventilator: Any = None
        self._ventilated = 0
        self._given = 0

    def start(self, worker_class: Any, worker_args: Any = None, ventilator: Any = None) -> None:
        for number in range(self.workers_count):
            made: list[Any] = []
            worker = worker_class(number, made.append, worker_args)
            target = threading.Thread(target=self._work, args=(number, worker, made), name=f"reader-{number}", daemon=True)
            self._threads.append(target)
        for thread in self._threads:
            thread.start()
        self._ventilator = ventilator
        if ventilator is not None:
            ventilator.start()

    def ventilate(self, **item: Any) -> None:
        """Called by the ventilator, which keeps only a few items in flight: this is what bounds the read-ahead."""
        self._inboxes[self._ventilated % self.workers_count].put(item)
        self._ventilated += 1

    def get_results(self) -> Any:
        """The next row group of the plan. Raises what its worker raised, and the `end` exception after the last."""
        if self._given == self._planned:
            raise self._end()
        fault, result = self._wait(self._given % self.workers_count)
        self._given += 1
        if self._ventilator is not None:
            self._ventilator.processed_item()
        if fault is not None:
            self.stop()
            raise fault
        return result

    def stop(self) -> None:
        if self._ventilator is not None:
            self._ventilator.stop()
        for inbox in self._inboxes:
            inbox.put(_STOP)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    @property
    def diagnostics(self) -> dict[str, int]:
        return {"planned": self._planned, "ventilated": self._ventilated, "given": self._given}

    def results_qsize(self) -> int:
        return sum(box.qsize() for box in self._outboxes)

    def _wait(self, worker: int) -> tuple[BaseException | None, Any]:
        while True:
            try:
                answer: tuple[BaseException | None, Any] = self._outboxes[worker].get(timeout=POLL_SECONDS)
                return answer
            except queue.Empty:
                if not self._threads[worker].is_alive() and self._outboxes[worker].empty():
                    raise DataContractError(
                        f"reader thread {worker} ended after {self._given} of {self._planned} row groups", "start the run again"
                    ) from None

    def _work(self, number: int, worker: Any, made: list[Any]) -> None:
        """One thread's life: exactly one answer an item, be it a result or a fault."""
        while (item := self._inboxes[number].get()) is not _STOP:
            try:
                worker.process(**item)
                answer: tuple[BaseException | None, Any] = (None, made.pop())
            except BaseException as fault:  # the thread's outermost frame; the reader raises it
                answer = (fault, None)
            made.clear()
            self._outboxes[number].put(answer)
            del answer  # or a row group that has long been used would live until the next one is read
