"""All benchmarks, one after the other, each in a process of its own; figures go to benchmarks/results/<name>.json."""

import subprocess
import sys
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
FEEDER = ("feeder_native_vs_petastorm", "feeder_native_vs_scan", "feeder_sequences_vs_padded")
"""These write their files themselves."""
PRINTING = ("train_tokens", "scoring", "demo_stages")


def main() -> int:
    RESULTS.mkdir(exist_ok=True)
    failed = 0
    for name in FEEDER:
        print(f"== {name}", file=sys.stderr)
        failed |= subprocess.run([sys.executable, "-m", "benchmarks.feeder", name], check=False).returncode
    failed |= subprocess.run([sys.executable, "-m", "benchmarks.encode"], check=False).returncode
    for name in PRINTING:
        print(f"== {name}", file=sys.stderr)
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], stdout=subprocess.PIPE, check=False)
        failed |= done.returncode
        if done.returncode == 0:
            (RESULTS / f"{name}.json").write_bytes(done.stdout)
            sys.stdout.write(done.stdout.decode())
    return int(failed != 0)


if __name__ == "__main__":
    raise SystemExit(main())
