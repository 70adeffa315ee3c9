"""How long two ranks take from their start to the first step, beside a bare program of the same launcher.

`python -m benchmarks.ranks_start [--rounds 5 --out FILE]`. Ours: `launch` of a training of a small lake until both ranks have
taken their first step. Peer: the launcher with a program that opens its backend and adds one number over both ranks, until both
are done. Rounds of the ways take turns, launcher by launcher. `equal`: every training had two ranks and read every row.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.machine import machine
from benchmarks.runs import tell
from nightrank.feature_store.contracts.files import read_json
from nightrank.trainer.config.job import Job
from nightrank.trainer.launch import environment_of_workers, launch
from tests.training_jobs import job_of, small_lake

HELLO: Final = {
    "horovodrun": "import torch, horovod.torch as hvd; hvd.init(); t = hvd.allreduce(torch.ones(1), op=hvd.Sum)"
    "; rank = hvd.rank()",
    "torchrun": "import torch, torch.distributed as dist; dist.init_process_group('gloo'); t = torch.ones(1)"
    "; dist.all_reduce(t); rank = dist.get_rank()",
}
SAY: Final = "; import os, pathlib; pathlib.Path(os.environ['BENCH_OUT'], f'rank-{rank}').write_text(str(float(t)))"
POLL: Final = 0.02


def runner(launcher: str) -> list[str]:
    if launcher == "horovodrun":
        return ["horovod.runner.launch", "--gloo", "-np", "2", "-H", "localhost:2", sys.executable]
    return ["torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2"]


def bare(job: Job, folder: Path) -> float:
    """Seconds until both ranks of the bare program are done."""
    program = folder / "hello.py"
    program.write_text(HELLO[job.config.launcher] + SAY)
    environment = {**environment_of_workers(job), "BENCH_OUT": str(folder)}
    started = time.monotonic()
    command = [sys.executable, "-m", *runner(job.config.launcher), str(program)]
    process = subprocess.Popen(command, env=environment, stdout=sys.stderr)
    seconds = until(lambda: all(told(folder / f"rank-{rank}") == "2.0" for rank in (0, 1)), started)
    process.wait()
    return seconds


def ours(job: Job) -> float:
    """Seconds until both ranks have taken a step."""
    started = time.monotonic()
    training = threading.Thread(target=launch, args=(job,))
    training.start()
    seconds = until(lambda: all(step_of(job, rank) > 0 for rank in (0, 1)), started)
    training.join()
    return seconds


def until(there: Any, started: float) -> float:
    while not there():
        time.sleep(POLL)
        if time.monotonic() - started > 300:
            raise SystemExit("two ranks did not come up within 300 s")
    return time.monotonic() - started


def told(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def step_of(job: Job, rank: int) -> int:
    path = job.ranks / f"rank-{rank}.json"
    return int(read_json(path)["step"]) if path.exists() else 0


def measured(launcher: str, rounds: int) -> dict[str, Any]:
    found: dict[str, list[float]] = {"ours": [], "peer": []}
    whole: list[bool] = []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        snapshot = small_lake(root, users=100)
        settings = {"launcher": launcher, "workers": 2, "fit": {"epochs": 1}, "watchdog": {"beat_seconds": 0.05}}
        for number in range(rounds):
            job = job_of(root, snapshot, settings, run_id=f"{launcher}-{number}")
            job.save()
            folder = root / f"hello-{number}"
            folder.mkdir()
            found["peer"].append(bare(job, folder))
            found["ours"].append(ours(job))
            training = read_json(job.result_path)["training"]
            whole.append(training["world_size"] == 2 and training["dropped"] == 0)
            print(f"{launcher} round {number}: {found['ours'][-1]:.2f} s, bare {found['peer'][-1]:.2f} s", file=sys.stderr)
    ratios = sorted(a / b for a, b in zip(found["ours"], found["peer"], strict=True))
    seconds = {way: [round(value, 3) for value in values] for way, values in found.items()}
    return {
        **{way: round(median(values), 3) for way, values in found.items()},
        "ours_over_peer": round(median(ratios), 3),
        "equal": all(whole),
        "by_round": [round(ratio, 3) for ratio in ratios],
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ranks_start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--launchers", nargs="*", default=list(HELLO))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    before = machine(threads=1)
    by_launcher = {launcher: measured(launcher, options.rounds) for launcher in options.launchers}
    result = {
        "name": "ranks_start",
        "unit": "seconds until the first step",
        "ours_over_peer": max(body["ours_over_peer"] for body in by_launcher.values()),
        "equal": all(body["equal"] for body in by_launcher.values()),
        "by_launcher": by_launcher,
        "settings": {"ranks": 2, "rounds": options.rounds},
        "command": f"python -m benchmarks.ranks_start --rounds {options.rounds} --out FILE",
        "machine": {**before, "load_after": round(os.getloadavg()[0], 2)},
    }
    tell(result, options.out)


if __name__ == "__main__":
    main()
