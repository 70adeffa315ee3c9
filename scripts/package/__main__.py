"""`make package`: dist/ holds the wheel, its lock, the zip for --py-files, and with --archive an environment for --archives."""

import argparse
import shutil
from pathlib import Path

from scripts.package.archive import build_archive
from scripts.package.wheel import LOG_STORE, ROOT, build_wheel, zip_beside


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts.package", description="Builds what a cluster is given.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="the folder; default: dist/ of the checkout")
    parser.add_argument("--archive", action="store_true", help="an environment archive too: minutes, and gigabytes")
    parser.add_argument("--tools", type=Path, default=ROOT / ".build" / "tools", help="the environment with uv and CMake")
    options = parser.parse_args()
    wheel = build_wheel(options.out)
    if not LOG_STORE.exists():
        print(f"package: without {LOG_STORE.name}: no lake in S3. `make setup` builds it where there is a JDK (javac)")
    zipped = zip_beside(wheel)
    lock = options.out / "requirements.lock"
    shutil.copy(ROOT / "requirements.lock", lock)
    for path in (wheel, zipped, lock):
        print(f"{path}: {path.stat().st_size / 2**10:.0f} KiB")
    if options.archive:
        build_archive(wheel, options.out / "nightrank-environment.tar.gz", options.tools)


if __name__ == "__main__":
    main()
