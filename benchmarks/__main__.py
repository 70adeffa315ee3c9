"""All speed benchmarks, one after the other, each in a process of its own; figures go to benchmarks/results/<name>.json.

`python -m benchmarks [--data Beauty.txt --peer-python rectools=ENV/bin/python replay=ENV/bin/python] [--topk-python
ENV/bin/python]`: what is measured beside a peer runs where the peer's own environment is named (docs/figures.md says what is in
it).
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.peers.process import add_pythons, pythons

RESULTS: Final = Path(__file__).parent / "results"
WRITING: Final = (
    ("benchmarks.feeder", "feeder_native_vs_petastorm"),
    ("benchmarks.feeder", "feeder_native_vs_scan"),
    ("benchmarks.feeder", "feeder_sequences_vs_padded"),
    ("benchmarks.encode",),
)
"""These write their files themselves."""
PRINTING: Final = ("train_tokens", "demo_stages")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--data", type=Path, help="Amazon Beauty's file of `user item item ...` lines")
    parser.add_argument("--topk-python", help="Python of an environment with implicit and faiss-cpu; without it no top-k")
    add_pythons(parser)
    options = parser.parse_args(arguments)
    peers = pythons(parser, options)
    if bool(peers) != bool(options.data):
        parser.error("--data goes with --peer-python")
    RESULTS.mkdir(exist_ok=True)
    topk = [("benchmarks.topk", "--peer-python", options.topk_python)] if options.topk_python else []
    failed = [
        name for name in map(_written, [*WRITING, *topk, *(_beside(name, peers[name], options.data) for name in peers)]) if name
    ]
    failed += [name for name in PRINTING if not _printed(name)]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def _beside(peer: str, python: str, data: Path) -> tuple[str, ...]:
    out = str(RESULTS / f"train_tokens_vs_{peer}.json")
    return ("benchmarks.train_vs_peer", "--peer", peer, "--peer-python", python, "--data", str(data), "--out", out)


def _written(command: tuple[str, ...]) -> str | None:
    """Its name, if it fails."""
    print(f"== {' '.join(command[:3])}", file=sys.stderr)
    done = subprocess.run([sys.executable, "-m", *command], stdout=subprocess.DEVNULL, check=False)
    return command[0] if done.returncode else None


def _printed(name: str) -> bool:
    print(f"== {name}", file=sys.stderr)
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], stdout=subprocess.PIPE, check=False)
    if done.returncode == 0:
        (RESULTS / f"{name}.json").write_bytes(done.stdout)
    return done.returncode == 0


if __name__ == "__main__":
    raise SystemExit(main())
