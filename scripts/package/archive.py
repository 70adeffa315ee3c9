"""An environment for `spark-submit --archives`: the lock, Horovod and nightrank under one folder that may stand anywhere.

It holds no Python of its own: `bin/python` is a link to the Python 3.11 of this machine, and every node needs one at that path.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROBE = "import torch, pyarrow, horovod.torch, nightrank.spark_jobs.executor.score, nightrank.trainer.data.compiled"
MAPPED = "; print(*{line.split()[-1] for line in open('/proc/self/maps') if '.so' in line}, sep='\\n')"


def build_archive(wheel: Path, path: Path, tools: Path, cuda: bool = True) -> Path:
    """The archive at `path`; its size and unpacking time are printed, and an unpacked copy has imported what jobs need.

    `cuda`: with what a GPU needs.
    """
    with tempfile.TemporaryDirectory(prefix="nightrank-") as scratch:
        environment = Path(scratch) / "built"
        _fill(environment, wheel, tools)
        if not cuda:
            _leave_gpus_out(environment, tools)
        started = time.monotonic()
        _run("tar", "--create", "--use-compress-program", "gzip -1", "--file", str(path), "--directory", str(environment), ".")
        packed = time.monotonic() - started
        unpacked = Path(scratch) / "elsewhere"
        unpacked.mkdir()
        started = time.monotonic()
        _run("tar", "--extract", "--gzip", "--file", str(path), "--directory", str(unpacked))
        seconds = time.monotonic() - started
        _run(str(unpacked / "bin" / "python"), "-I", "-c", PROBE)
    print(f"{path}: {path.stat().st_size / 2**30:.2f} GiB, packed in {packed:.0f} s, unpacked in {seconds:.0f} s")
    return path


def _fill(environment: Path, wheel: Path, tools: Path) -> None:
    uv, python = str(tools / "bin" / "uv"), str(environment / "bin" / "python")
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    _run(uv, "venv", "--quiet", "--relocatable", "--python", str(base), str(environment))
    _run(uv, "pip", "sync", "--quiet", "--python", python, "--require-hashes", str(ROOT / "requirements.lock"))
    packages = _run(str(tools / "bin" / "python"), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    horovod = _run(
        str(ROOT / "scripts" / "horovod_wheel"), python, PYTHONPATH=packages, CMAKE=str(tools / "bin" / "cmake")
    ).splitlines()[-1]
    _run(uv, "pip", "install", "--quiet", "--python", python, "--no-deps", horovod, str(wheel.resolve()))


def _leave_gpus_out(environment: Path, tools: Path) -> None:
    """Triton and those of NVIDIA's libraries that work on a CPU never loads are gone. This torch is linked to the others."""
    python = str(environment / "bin" / "python")
    _run(str(tools / "bin" / "uv"), "pip", "uninstall", "--quiet", "--python", python, "triton")
    loaded = {Path(line).resolve() for line in _run(python, "-I", "-c", PROBE + MAPPED).splitlines()}
    packages = next(environment.glob("lib/python*/site-packages"))
    theirs = [file for file in (packages / "nvidia").rglob("*") if file.is_file() and not file.is_symlink()]
    for file in [*theirs, packages / "torch" / "lib" / "libtorch_cuda_linalg.so"]:
        if file.resolve() not in loaded and file.suffix != ".py":
            file.unlink()


def _run(*command: str, **environ: str) -> str:
    done = subprocess.run(command, env={**os.environ, **environ}, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"package: {' '.join(command[:3])} ... ended with {done.returncode}")
    return done.stdout.strip()
