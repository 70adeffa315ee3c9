"""Horovod's wheel, built against the torch of a Python, without a checkout: the script and its locks are in the package."""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Final

from nightrank.feature_store.contracts.errors import NightrankError, UsageError

FOLDER: Final = Path(__file__).resolve().parent
SCRIPT: Final = FOLDER / "horovod_wheel"
TOOLS_LOCK: Final = FOLDER / "requirements-tools.lock"
TORCH_FIRST: Final = "install the lock that came with the wheel first: pip install --require-hashes -r requirements.lock"


def build_wheel(python: str = sys.executable) -> Path:
    """The path of a wheel for this Python and its torch: the cached one, or one built now, in minutes.

    UsageError names what the machine lacks; NightrankError if the build fails, whose log is above on stderr.
    """
    check_machine()
    return Path(_with_tools(["bash", str(SCRIPT), python], "Horovod's wheel was not built"))


def install(wheel: Path, python: str = sys.executable) -> None:
    """The wheel is installed for this Python, in place of any Horovod before it."""
    command = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", str(wheel)]
    _with_tools(command, f"{wheel.name} was not installed")


def check_machine() -> None:
    """UsageError that names everything the build needs and does not find."""
    if importlib.util.find_spec("torch") is None:
        raise UsageError("Horovod is built against torch, and torch is not installed in this Python", TORCH_FIRST)
    lacks = {}
    compiler = shlex.split(os.environ.get("CXX", "g++"))[0]
    if shutil.which(compiler) is None:
        lacks["g++"] = f"a C++17 compiler ({compiler})"
    if shutil.which("make") is None:
        lacks["make"] = "make"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        lacks["python3.11-dev"] = f"the C headers of {sys.executable} (Python.h)"
    if lacks:
        packages = " ".join(sorted(lacks))
        raise UsageError(
            f"Horovod cannot be built, missing here: {', '.join(lacks.values())}",
            f"on Debian or Ubuntu: apt-get install {packages}; or train in one process: --set trainer.launcher=one_process",
        )


def _with_tools(command: list[str], failure: str) -> str:
    """The last line that the command prints, with pip, wheel and CMake of the lock at hand."""
    with tempfile.TemporaryDirectory(prefix="nightrank-") as scratch:
        _run([sys.executable, "-m", "venv", scratch], {}, "no environment for the build tools could be made")
        python = str(Path(scratch) / "bin" / "python")
        pip = [python, "-m", "pip", "--disable-pip-version-check"]
        _run([*pip, "install", "--quiet", "--require-hashes", "-r", str(TOOLS_LOCK)], {}, "no build tools were installed")
        # The build takes setuptools from the Python that Horovod is for, where the lock pins it.
        _run([*pip, "uninstall", "--quiet", "--yes", "setuptools"], {}, "the build tools' setuptools is still there")
        purelib = _run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], {}, "no build tools")
        environ = {"PYTHONPATH": purelib, "CMAKE": f"{scratch}/bin/cmake", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        return _run(command, environ, failure)


def _run(command: list[str], environ: dict[str, str], failure: str) -> str:
    done = subprocess.run(command, env={**os.environ, **environ}, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise NightrankError(f"{failure}: {Path(command[0]).name} ended with {done.returncode}", "see the lines above")
    lines = done.stdout.strip().splitlines()
    return lines[-1] if lines else ""
