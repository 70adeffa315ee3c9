"""What of the environment training workers are given: names of an allow-list, none that looks like a secret.

horovodrun writes the environment it is given on the command line of every rank, where all users of the machine read it. So it
gets the plain names alone; what `trainer.environment` names beside them goes by a file that only this user can read.
"""

import json
import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from nightrank.feature_store.contracts.secrets import looks_secret, without_credentials
from nightrank.trainer.config.job import Job

FILE: Final = "NIGHTRANK_WORKER_ENVIRONMENT"
"""Names the file with the variables of `trainer.environment`. A worker takes them in before it does anything else."""
PLAIN: Final = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "HOSTNAME", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR", "TEMP", "TMP"),
    *("LD_LIBRARY_PATH", "LD_PRELOAD", "MALLOC_*", "VIRTUAL_ENV", "PYTHON*", "XDG_CACHE_HOME", "SSH_AUTH_SOCK", "NO_COLOR"),
    *("OMP_*", "MKL_*", "KMP_*", "GOMP_*", "OPENBLAS_*", "NUMEXPR_*", "CUDA_*", "CUBLAS_*", "NVIDIA_*", "NCCL_*", "TORCH*"),
    *("HOROVOD_*", "GLOO_*", "JAVA_HOME", "SPARK_HOME", "SPARK_LOCAL_*", "SPARK_CONF_DIR", "HADOOP_CONF_DIR", "YARN_CONF_DIR"),
    *("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON", "HF_*", "TRANSFORMERS_*", "TOKENIZERS_*", "DO_NOT_TRACK", "NIGHTRANK_*"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)
"""A `*` at the end stands for any rest. SSH_AUTH_SOCK is a path, by which horovodrun reaches other hosts."""


def plain(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that may stand on a command line."""
    return {name: value for name, value in environ.items() if _listed(name, PLAIN) and not _hides(name, value)}


def named(environ: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    """The variables that `trainer.environment` names, secrets among them."""
    return {name: value for name, value in environ.items() if _listed(name, names)}


@contextmanager
def handed_over(job: Job, environ: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Inside, the variables of `trainer.environment` are in a file of mode 0600; yields what tells the workers where.

    Workers on this machine find it in a private temporary folder, those of other hosts beside their heartbeats.
    """
    found = named(environ, job.config.environment)
    if not found:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="nightrank-") as private:
        folder = job.ranks if job.config.hosts else Path(private)
        path = folder / f".environment-{uuid.uuid4().hex}"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(found, file)
            yield {FILE: str(path)}
        finally:
            path.unlink(missing_ok=True)


def take_over() -> None:
    """In a worker: what `handed_over` wrote is in this process' environment."""
    path = os.environ.pop(FILE, None)
    if path is not None:
        os.environ.update(json.loads(Path(path).read_text()))


def _listed(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _hides(name: str, value: str) -> bool:
    return (looks_secret(name) and name != "SSH_AUTH_SOCK") or without_credentials(value) != value
