"""What follows a run's last stage: the tracker hears its result, a run without a report stage gets a page, others are told."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.logs import file_log
from nightrank.feature_store.contracts.redaction import redactor
from nightrank.feature_store.contracts.secrets import without_credentials
from nightrank.feature_store.contracts.storage import workplace
from nightrank.pipeline import result as results
from nightrank.pipeline.progress import Progress
from nightrank.pipeline.report.files import write_report
from nightrank.pipeline.run import request as requests
from nightrank.pipeline.run.children import Child
from nightrank.pipeline.run.directory import RunDirectory
from nightrank.pipeline.run.request import RunRequest
from nightrank.pipeline.run.signals import StopRequest
from nightrank.pipeline.telemetry.settings import OperationsConfig

FINISH_SECONDS: Final = 300.0
PAGED: Final = ("done", "gate_rejected", "running")
"""Statuses of a run whose report stage makes its page."""


@dataclass(frozen=True)
class Ending:
    """The result exists already. A fault here is a note to the user and changes nothing of it."""

    progress: Progress
    finish: tuple[str, ...]
    """Called with `--run-dir R --finish` once a result is final; empty: nothing is called."""

    def log_result(
        self, request: RunRequest, directory: RunDirectory, stop: StopRequest, result: dict[str, Any] | None = None
    ) -> None:
        """The final result in the tracker too. If that fails, the next same command tries again."""
        mark = directory.folder / "finish.json"
        final = result is None or result["status"] in requests.FINISHED
        if not final or not self.finish or mark.exists():
            return
        log = workplace(directory.folder / "logs") / "finish.log"
        code = self._call(request, directory, stop, log)
        directory.keep_log("finish")
        if code == 0:
            write_json(mark, {"logged": True})
        else:
            self.progress.note(f"warning: the result of {directory.run_id} was not logged to the tracker; see {log}")

    def published(self, request: RunRequest, directory: RunDirectory, result: dict[str, Any]) -> dict[str, Any]:
        """The result, with a page if its stages made none, told to Prometheus."""
        paged = result["status"] in PAGED and not directory.context.is_back_fill
        return self._told(request, result if paged else self._with_page(directory, result))

    def of_empty(self, request: RunRequest, directory: RunDirectory, result: dict[str, Any]) -> dict[str, Any]:
        """As `published`, for a day on which nothing landed."""
        return self._told(request, self._with_page(directory, result))

    def _call(self, request: RunRequest, directory: RunDirectory, stop: StopRequest, log: Path) -> int | None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "a") as handle:
            words = file_log(handle, directory.run_id, "finish", redactor(request.config.tree))
            child = Child(
                (*self.finish, "--run-dir", str(directory.folder), "--finish"),
                directory.folder,
                lambda line: words.info(line.rstrip("\n")),
                config=request.config,
            )
            until = time.monotonic() + FINISH_SECONDS
            while (code := child.wait(0.2)) is None and not stop and time.monotonic() < until:
                continue
            if code is None:
                child.end(directory.folder)
        return code

    def _with_page(self, directory: RunDirectory, result: dict[str, Any]) -> dict[str, Any]:
        """A run that ended before its report stage has a page too: it says where it ended and what to do."""
        try:
            page = write_report(directory.folder, result)
        except Exception as error:  # the result stands without it
            words = f"{type(error).__name__}: {without_credentials(str(error))}"
            self.progress.note(f"warning: no page was made of {directory.run_id}: {words}")
            return result
        result = {**result, "report": page.below(directory.context.root)}
        results.write(directory.folder, result)
        return result

    def _told(self, request: RunRequest, result: dict[str, Any]) -> dict[str, Any]:
        path = request.config.section("operations", OperationsConfig).prometheus_file
        if path is not None and result["status"] != "running":
            try:
                from nightrank.pipeline.telemetry.prometheus import write_metrics

                write_metrics(Path(path), request.lake, result)
            except OSError as error:
                self.progress.note(f"warning: the metrics of {result['run_id']} were not written: {error}")
        return result
