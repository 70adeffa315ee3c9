"""How many CPU threads a worker computes with."""

import os
import socket

from nightrank.trainer.config.training import TrainerConfig


def threads_of(config: TrainerConfig, workers_here: int) -> int:
    """Threads of each of the `workers_here` workers of this machine: an equal share of the cores this process may use."""
    return config.threads_per_worker or max(1, len(os.sched_getaffinity(0)) // max(1, workers_here))


def workers_here(config: TrainerConfig) -> int:
    """Workers that the launcher starts on this machine; as many as any host has, where `hosts` does not name this one.

    What each worker finds out when it has come up goes before this (`Communicator.local_size`)."""
    if config.launcher in ("one_process", "pods"):
        return 1
    if config.launcher in ("spark", "torch_distributor") or not config.hosts:
        return config.workers
    slots = slots_by_host(config.hosts)
    name = socket.gethostname()
    here = sum(slots.get(alias, 0) for alias in {"localhost", "127.0.0.1", name, name.partition(".")[0]})
    return min(config.workers, here or max(slots.values()))


def slots_by_host(hosts: str) -> dict[str, int]:
    """`trainer.hosts`, such as `a:4,b:2`, as {"a": 4, "b": 2}; a host without a number has one slot."""
    slots: dict[str, int] = {}
    for entry in filter(None, (part.strip() for part in hosts.split(","))):
        host, _, count = entry.partition(":")
        slots[host] = slots.get(host, 0) + (int(count) if count.isdigit() else 1)
    return slots
