"""implicit's and faiss's exact top-k, in an environment of their own; `benchmarks.peers.conversation` carries the figures.

Heard first: {"folder": with users.npy and items.npy, "k", "threads", "seconds"}. Said each round: {"implicit": [seconds, CPU
seconds], "faiss": the same}, and heard after it: {"stop"}. Said last: {"versions"}; the folder then has implicit.npy and
faiss.npy, the lists.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))

from conversation import Conversation


def shortest(run: Callable[[], object], least: float) -> list[float]:
    """[seconds, CPU seconds of the process] of the shortest run among as many as take `least` seconds."""
    wall, cpu, began = [], [], time.perf_counter()
    while not wall or time.perf_counter() - began < least:
        started, used = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - used)
    return [min(wall), min(cpu)]


def main() -> None:
    conversation = Conversation()
    order = conversation.hear()
    threads = order["threads"]
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # implicit asks for it, and has threads of its own
    import faiss
    import implicit
    import numpy as np
    from implicit.cpu.topk import topk

    faiss.omp_set_num_threads(threads)
    users, items = (np.load(f"{order['folder']}/{name}.npy") for name in ("users", "items"))
    index = faiss.IndexFlatIP(items.shape[1])
    index.add(items)
    runs = {
        "implicit": lambda: topk(items, users, order["k"], num_threads=threads)[0],
        "faiss": lambda: index.search(users, order["k"])[1],
    }
    for name, run in runs.items():
        np.save(f"{order['folder']}/{name}.npy", run().astype(np.int64))
    while True:
        seconds = {}
        for name, run in runs.items():
            seconds[name] = shortest(run, order["seconds"])
        conversation.say(seconds)
        if conversation.hear()["stop"]:
            break
    conversation.say({"versions": {"implicit": implicit.__version__, "faiss": faiss.__version__}})


if __name__ == "__main__":
    main()
