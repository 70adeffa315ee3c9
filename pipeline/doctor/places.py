"""Free disk and write access where a run writes: the lake, the temporary folder, Spark's scratch."""

import os
import shutil
import tempfile
import uuid
from pathlib import Path

from nightrank.feature_store.contracts.errors import NightrankError
from nightrank.feature_store.contracts.settings import DataSettings
from nightrank.feature_store.contracts.storage import Location
from nightrank.pipeline.doctor.finding import Finding
from nightrank.pipeline.doctor.machine import Machine
from nightrank.pipeline.doctor.spark import spark_settings

FAIL_BELOW, WARN_BELOW = 2, 10
"""GiB. The demo needs under one; a night on real data rewrites whole files of a table."""


def check_places(machine: Machine, settings: DataSettings, root: Location | None) -> list[Finding]:
    """One finding a place, beside Spark's own scratch where it is set."""
    places = {"tmp": Path(machine.environ.get("TMPDIR") or tempfile.gettempdir())}
    bucket = [] if root is None or root.is_local else [_bucket(root)]
    if root is not None and root.is_local:
        places = {"lake": root.path, **places}
    scratch = machine.environ.get("SPARK_LOCAL_DIRS") or _scratch_setting(machine, settings)
    if scratch:
        places["spark_scratch"] = Path(scratch.split(",")[0])
    found = [finding for name, path in places.items() for finding in (_free(name, path), _writable(name, path))]
    return [*bucket, *found]


def _bucket(root: Location) -> Finding:
    """Tried by a conditional write, which the lease needs, and removed again."""
    probe = root / f".nightrank-doctor-{uuid.uuid4().hex}"
    try:
        first, second = probe.create(b"1"), probe.create(b"2")
        probe.unlink()
    except NightrankError as error:
        return Finding("write_access_lake", "fail", error.message, error.remedy)
    if first and not second:
        return Finding("write_access_lake", "ok", f"{root} takes conditional writes")
    seen = f"{root} lets two writers create one object"
    return Finding("write_access_lake", "fail", seen, "use a store that honours If-None-Match, as S3, Google and Azure do")


def _scratch_setting(machine: Machine, settings: DataSettings) -> str | None:
    return {key: value for _, key, value in spark_settings(machine, settings)}.get("spark.local.dir")


def _free(name: str, path: Path) -> Finding:
    free = shutil.disk_usage(_existing(path)).free / 2**30
    seen = f"{free:.1f} GiB free for {path}"
    remedy = f"free some space there, or use another place (a run on real data may fail with less than {WARN_BELOW} GiB)"
    if free < FAIL_BELOW:
        return Finding(f"free_disk_{name}", "fail", seen, remedy)
    return Finding(f"free_disk_{name}", "warn" if free < WARN_BELOW else "ok", seen, remedy if free < WARN_BELOW else "")


def _writable(name: str, path: Path) -> Finding:
    """Tried by writing, since permission bits do not know read-only mounts and quotas. A lake that is not there is not made."""
    place = _existing(path)
    try:
        handle, probe = tempfile.mkstemp(prefix=".nightrank-doctor-", dir=place)
        os.close(handle)
        Path(probe).unlink()
    except OSError as error:
        return Finding(f"write_access_{name}", "fail", f"cannot write to {place}: {error.strerror}", f"make {place} writable")
    return Finding(f"write_access_{name}", "ok", f"{place} is writable")


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    resolved = path.absolute()
    return next(p for p in (resolved, *resolved.parents) if p.is_dir())
