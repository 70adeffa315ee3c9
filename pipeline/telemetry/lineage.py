"""OpenLineage events of each stage: what it read and wrote, by table and version. No column and no user is in them."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.inputs import inputs_of
from nightrank.feature_store.contracts.storage import Location
from nightrank.pipeline.telemetry.settings import OperationsConfig

PRODUCER: Final = "nightrank"
TIMEOUT_SECONDS: Final = 5.0
Note = Callable[[str], None]


class Lineage:
    """Emits an event when a stage begins and when it ends. A server that does not answer costs a note, never the run."""

    def __init__(self, settings: OperationsConfig, run_dir: Location, note: Note) -> None:
        self._run_dir, self._note = run_dir, note
        self._client: Any = None
        self._namespace = settings.openlineage_namespace
        self._address = settings.openlineage
        self._run = read_json(run_dir / "run.json") if self._address else {}
        self._ids: dict[str, str] = {}

    def stage(self, name: str, status: str, record: dict[str, Any] | None = None) -> None:
        """status: running | done | failed; others are not told."""
        if self._address is None or status not in ("running", "done", "failed"):
            return
        try:
            self._emit(name, status, record or {})
        except Exception as error:  # the lists are worth more than their lineage
            self._address = None
            self._note(f"warning: lineage of {self._run['run_id']} is not complete: {type(error).__name__}")

    def _emit(self, name: str, status: str, record: dict[str, Any]) -> None:
        from openlineage.client.event_v2 import Job, Run, RunEvent, RunState

        state = {"running": RunState.START, "done": RunState.COMPLETE, "failed": RunState.FAIL}[status]
        if status == "running":
            self._ids[name] = str(uuid.uuid4())
        ended = status == "done"
        self._opened().emit(
            RunEvent(
                eventTime=datetime.now(UTC).isoformat(),
                eventType=state,
                producer=PRODUCER,
                run=Run(self._ids.setdefault(name, str(uuid.uuid4())), facets=self._run_facets()),
                job=Job(self._namespace, f"{self._run['kind']}.{name}", facets=self._job_facets()),
                inputs=self._read(name),
                outputs=self._written(record) if ended else [],
            )
        )

    def _read(self, name: str) -> list[Any]:
        from openlineage.client.event_v2 import InputDataset

        declared = inputs_of(name)
        landing = [InputDataset(self._place, "landing")] if declared.landing else []
        tables = {table["name"]: table["to"] for stage in declared.stages for table in self._tables_of(stage)}
        return landing + [InputDataset(self._place, f"tables/{one}", facets=_version(to)) for one, to in sorted(tables.items())]

    def _written(self, record: dict[str, Any]) -> list[Any]:
        from openlineage.client.event_v2 import OutputDataset

        return [
            OutputDataset(self._place, f"tables/{table['name']}", facets=_version(table["to"]))
            for table in record.get("tables", [])
        ]

    def _tables_of(self, stage: str) -> list[dict[str, Any]]:
        path = self._run_dir / "stages" / f"{stage}.json"
        return list(read_json(path)["tables"]) if path.exists() else []

    @property
    def _place(self) -> str:
        """The namespace of the lake's tables, as OpenLineage names storage."""
        root = str(self._run["root"])
        return root if "://" in root else f"file://{root}"

    def _run_facets(self) -> dict[str, Any]:
        from openlineage.client.facet_v2 import nominal_time_run, parent_run

        parent = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self._place}/{self._run['run_id']}/{self._run['started']}"))
        return {
            "nominalTime": nominal_time_run.NominalTimeRunFacet(f"{self._run['date']}T00:00:00Z", producer=PRODUCER),
            "parent": parent_run.ParentRunFacet(
                parent_run.Run(parent), parent_run.Job(self._namespace, self._run["kind"]), producer=PRODUCER
            ),
        }

    def _job_facets(self) -> dict[str, Any]:
        from openlineage.client.facet_v2 import job_type_job

        return {"jobType": job_type_job.JobTypeJobFacet("BATCH", "NIGHTRANK", "STAGE", producer=PRODUCER)}

    def _opened(self) -> Any:
        """The client, made once: of a server, or of a file."""
        if self._client is None:
            from openlineage.client import OpenLineageClient

            self._client = OpenLineageClient(transport=_transport(str(self._address)))
        return self._client


def _transport(address: str) -> Any:
    if address.startswith(("http://", "https://")):
        from openlineage.client.transport.http import HttpConfig, HttpTransport

        retry = {"total": 2, "backoff_factor": 0.3, "status_forcelist": [502, 503, 504], "allowed_methods": ["POST"]}
        return HttpTransport(HttpConfig(url=address, timeout=TIMEOUT_SECONDS, retry=retry))
    from openlineage.client.transport.file import FileConfig, FileTransport

    Path(address).parent.mkdir(parents=True, exist_ok=True)
    return FileTransport(FileConfig(log_file_path=address, append=True))


def _version(version: int) -> dict[str, Any]:
    from openlineage.client.facet_v2 import dataset_version_dataset

    return {"version": dataset_version_dataset.DatasetVersionDatasetFacet(str(version), producer=PRODUCER)}
