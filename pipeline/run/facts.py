"""What is true of this program, this machine and this code at the moment a run begins. Nothing is imported to find it out."""

import importlib.metadata
import os
import platform
import subprocess
from typing import Any, Final

from nightrank import IMPORT_PATH

PACKAGES: Final = (
    "nightrank",
    "pyspark",
    "delta-spark",
    "deltalake",
    "pyarrow",
    "numpy",
    "torch",
    "petastorm",
    "horovod",
    "mlflow",
    "transformers",
)
"""Distributions whose versions a run writes down."""


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str | None]:
    """Version by distribution name, and Python's; None where it is not installed."""
    return {"python": platform.python_version()} | {name: _version(name) for name in packages}


def machine() -> dict[str, Any]:
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "host": platform.node(),
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
    }


def commit() -> str | None:
    """The checkout's revision, with `-dirty` where files differ from it; None outside a checkout."""
    if not (IMPORT_PATH / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(IMPORT_PATH), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
