"""`make package`: dist/ holds the wheel, its lock, the zip for --py-files, and with --archive an environment for --archives."""

import argparse
import shutil
from pathlib import Path

from scripts.package.archive import build_archive
from scripts.package.wheel import LOG_STORE, ROOT, build_wheel, zip_beside

LOCKS = ("requirements.lock", "requirements-airflow.lock", "requirements-mlflow.lock")
FOR_IMAGES = (*(ROOT / name for name in LOCKS), ROOT / "docker" / "entrypoint")
"""What images are built of, beside the wheel: dist/ is their build context."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts.package", description="Builds what a cluster is given.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="the folder; default: dist/ of the checkout")
    parser.add_argument("--archive", action="store_true", help="an environment archive too: minutes, and gigabytes")
    parser.add_argument("--no-cuda", action="store_true", help="an archive without what only GPUs need: 1.6 GB less unpacked")
    parser.add_argument("--tools", type=Path, default=ROOT / ".build" / "tools", help="the environment with uv and CMake")
    options = parser.parse_args()
    wheel = build_wheel(options.out)
    if not LOG_STORE.exists():
        print(f"package: without {LOG_STORE.name}: no lake in S3. `make setup` builds it where there is a JDK (javac)")
    zipped = zip_beside(wheel)
    others = [options.out / path.name for path in FOR_IMAGES]
    for source, path in zip(FOR_IMAGES, others, strict=True):
        shutil.copy(source, path)
    for path in (wheel, zipped, *others):
        print(f"{path}: {path.stat().st_size / 2**10:.0f} KiB")
    if options.archive:
        build_archive(wheel, options.out / "nightrank-environment.tar.gz", options.tools, cuda=not options.no_cuda)


if __name__ == "__main__":
    main()
