"""What other systems are told of a run: Prometheus' text file, OpenLineage events, logs as JSON. None of it can stop a run."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from pipeline_fakes import import_stages_from, landed_lake, request_for, write_stage
from prometheus_client.parser import text_string_to_metric_families

from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.logs import words_of
from nightrank.pipeline.orchestrated import Orchestrated
from nightrank.pipeline.runner import Runner
from nightrank.pipeline.stages import Stage

TABLES = "[{'name': 'events', 'from': None, 'to': 7, 'content_sha256': '0'}]"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return landed_lake(tmp_path / "lake")


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return import_stages_from(tmp_path / "modules", monkeypatch)


def stages(modules: Path, middle: str = "pass") -> tuple[Stage, ...]:
    """Two stages with the names of real ones, so that what they read is known."""
    first = write_stage(modules, "ingest_events", f"return StageResult('ingest_events', rows_out=3, tables={TABLES})")
    return (first, write_stage(modules, "build_features", middle))


def run(lake: Lake, listed: tuple[Stage, ...], **operations: str) -> dict:
    return Runner(listed, finish=()).run(request_for(lake, operations=operations))


def metrics(path: Path) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(path.read_text())
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_the_last_run_is_in_the_file_for_prometheus(lake: Lake, modules: Path, tmp_path: Path) -> None:
    path = tmp_path / "node" / "nightrank.prom"
    result = run(lake, stages(modules), prometheus_file=str(path))
    found = metrics(path)
    assert found["nightrank_run_info", "full", "full-2024-01-01", "done"] == 1
    assert found["nightrank_run_exit_code",] == 0
    assert found["nightrank_run_date_timestamp_seconds",] == 1_704_067_200
    assert found["nightrank_stage_seconds", "ingest_events"] == result["stages"][0]["seconds"]
    assert (found["nightrank_stage_rows", "ingest_events"], found["nightrank_rows", "events"]) == (3, 1)
    assert found["nightrank_quarantined_rows", "nan_value"] == 2
    assert not [name for name in found if name[0].startswith(("nightrank_lists", "nightrank_ndcg"))], "nothing is live yet"


def test_a_failed_run_is_told_too_and_leaves_out_what_did_not_run(lake: Lake, modules: Path, tmp_path: Path) -> None:
    path = tmp_path / "nightrank.prom"
    run(lake, stages(modules, "raise errors.DependencyUnreachable('no hub')"), prometheus_file=str(path))
    found = metrics(path)
    assert found["nightrank_run_info", "full", "full-2024-01-01", "failed"] == 1
    assert found["nightrank_run_exit_code",] == 8
    assert ("nightrank_stage_seconds", "build_features") not in found


def test_a_closed_run_of_an_orchestrator_is_told(lake: Lake, modules: Path, tmp_path: Path) -> None:
    path = tmp_path / "nightrank.prom"
    night, request = (
        Orchestrated(Runner(stages(modules), finish=())),
        request_for(lake, operations={"prometheus_file": str(path)}),
    )
    night.open(request)
    night.work(request, ["ingest_events", "build_features"])
    night.close(request)
    assert metrics(path)["nightrank_run_info", "full", "full-2024-01-01", "done"] == 1


def test_a_file_that_cannot_be_written_is_a_note(
    lake: Lake, modules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    result = run(lake, stages(modules), prometheus_file=str(tmp_path / "file" / "nightrank.prom"))
    assert result["status"] == "done"
    assert "warning: the metrics of full-2024-01-01 were not written" in capsys.readouterr().err


def events_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_stage_says_what_it_read_and_wrote_by_version_and_no_column(lake: Lake, modules: Path, tmp_path: Path) -> None:
    path = tmp_path / "lineage" / "events.jsonl"
    run(lake, stages(modules), openlineage=str(path))
    events = events_of(path)
    told = [(event["eventType"], event["job"]["name"]) for event in events]
    names = ("full.ingest_events", "full.build_features")
    assert told == [(kind, name) for name in names for kind in ("START", "COMPLETE")]
    assert events[0]["run"]["runId"] == events[1]["run"]["runId"] != events[2]["run"]["runId"]
    parents = {event["run"]["facets"]["parent"]["run"]["runId"] for event in events}
    assert len(parents) == 1
    written = events[1]["outputs"]
    assert [(one["name"], one["facets"]["version"]["datasetVersion"]) for one in written] == [("tables/events", "7")]
    assert written[0]["namespace"] == f"file://{lake.root}"
    assert [one["name"] for one in events[1]["inputs"]] == ["landing"]
    assert [one["name"] for one in events[2]["inputs"]] == ["tables/events"]
    assert not {"schema", "columnLineage"} & {facet for event in events for one in event["outputs"] for facet in one["facets"]}


def test_a_failed_stage_is_told_as_failed(lake: Lake, modules: Path, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    run(lake, stages(modules, "raise errors.DependencyUnreachable('no hub')"), openlineage=str(path))
    assert [event["eventType"] for event in events_of(path)][-1] == "FAIL"


class _Server(BaseHTTPRequestHandler):
    bodies: list[dict]

    def do_POST(self) -> None:
        self.bodies.append({"path": self.path, **json.loads(self.rfile.read(int(self.headers["Content-Length"])))})
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_server_is_sent_the_same_events(lake: Lake, modules: Path) -> None:
    handler = type("Handler", (_Server,), {"bodies": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        run(lake, stages(modules), openlineage=f"http://127.0.0.1:{server.server_address[1]}")
    finally:
        server.shutdown()
        server.server_close()
    assert [body["eventType"] for body in handler.bodies] == ["START", "COMPLETE"] * 2
    assert {body["path"] for body in handler.bodies} == {"/api/v1/lineage"}


def test_a_server_that_is_not_there_costs_one_note(lake: Lake, modules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(lake, stages(modules), openlineage="http://127.0.0.1:9")
    assert result["status"] == "done"
    assert capsys.readouterr().err.count("warning: lineage of full-2024-01-01 is not complete") == 1


def test_logs_can_be_json_and_faults_still_quote_their_words(lake: Lake, modules: Path) -> None:
    middle = (
        "print('2024-01-01T00:00:00Z full train rank-3 | step 7', flush=True); print('no memory left', flush=True); sys.exit(1)"
    )
    result = run(lake, stages(modules, middle), log_format="json")
    lines = [
        json.loads(line) for line in (lake.run_dir(result["run_id"]) / "logs" / "build_features.log").read_text().splitlines()
    ]
    assert {(line["run"], line["stage"]) for line in lines} == {("full-2024-01-01", "build_features")}
    assert [(line.get("rank"), line["event"]) for line in lines[-2:]] == [(3, "step 7"), (None, "no memory left")]
    assert result["error"]["message"] == "stage build_features failed: no memory left"
    assert words_of(json.dumps({"time": "t", "event": "x"})) == "x"
