"""The other side of launcher `pods`: this process is one rank of the training that it finds at an address."""

import http.client
import tempfile
import time
import uuid
from pathlib import Path
from typing import Final

from nightrank.feature_store.contracts.errors import ConfigError, DependencyUnreachable, UsageError
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.process import this_process
from nightrank.trainer.config.job import Job
from nightrank.trainer.launch.one_rank import Meeting, run_rank

POLL_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 10.0


def join(host: str, port: int, rank: int, wait_seconds: float) -> Job:
    """Takes part in the next training there as `rank`. It ended well when this returns its job; else raises as `launch` does.

    UsageError for a rank that it does not have. DependencyUnreachable where none began within `wait_seconds`.
    """
    log.info(f"rank {rank} waits for a training at {host}:{port}")
    job, meeting = _job_at(host, port, rank, wait_seconds)
    if not job.path.exists():
        raise ConfigError(
            f"{job.path} of this training is not there", "every pod reaches the lake at the same path or address as rank 0"
        )
    log.info(f"rank {rank} of {job.config.workers} trains {job.run_id}")
    with tempfile.TemporaryDirectory(prefix="nightrank-") as private:
        path = Path(private) / "job.json"
        # Its worker ends when this process is gone, whatever becomes of rank 0's.
        write_json(path, {**job.model_dump(mode="json"), "launcher": this_process().to_json()})
        run_rank(job, str(path), rank, meeting)
    return job


def _job_at(host: str, port: int, rank: int, wait_seconds: float) -> tuple[Job, Meeting]:
    token, until, reason = uuid.uuid4().hex, time.monotonic() + wait_seconds, "it does not answer"
    while True:
        connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
        try:
            connection.connect()
            meeting = Meeting(connection.sock.getpeername()[0], port, connection.sock.getsockname()[0])
            connection.request("GET", f"/nightrank/{rank}/{token}")
            response = connection.getresponse()
            status, body = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            status, body, reason = 0, b"", str(error)
        finally:
            connection.close()
        if status == 200:
            return Job.model_validate_json(body), meeting
        if status == 400:
            raise UsageError(f"there is no rank {rank} at {host}:{port}: {body.decode()}", "see trainer.workers")
        reason = {404: "other ranks are missing", 409: f"another process is rank {rank}"}.get(status, reason)
        if time.monotonic() > until:
            raise DependencyUnreachable(
                f"no training began at {host}:{port} within {wait_seconds:.0f} s: {reason}",
                "rank 0 opens the port when its stage trains; --wait-seconds says how long to wait",
            )
        time.sleep(POLL_SECONDS)
