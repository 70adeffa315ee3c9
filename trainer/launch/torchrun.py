"""N workers of torch.distributed by torchrun: on this machine, or on those of `trainer.hosts`, where others start the rest."""

import shlex
import sys
from typing import Final

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.logs import log
from nightrank.trainer.config.job import Job
from nightrank.trainer.ranks.threads import slots_by_host

LOOPBACK: Final = "127.0.0.1"


def command(job: Job) -> list[str]:
    """Of this machine's ranks. With several hosts this one is the first, and the line that each other one needs is logged."""
    hosts = slots_by_host(job.config.hosts or f"localhost:{job.config.workers}")
    check_slots(job, hosts)
    if len(hosts) == 1:
        return _torchrun(sys.executable, job, "--standalone", "--local-addr", LOOPBACK, ranks=job.config.workers)
    for node, host in enumerate(hosts):
        if node:
            log.info(f"start on {host}: {shlex.join(command_of(job, hosts, node, 'python'))}")
    return command_of(job, hosts, 0, sys.executable)


def command_of(job: Job, hosts: dict[str, int], node: int, python: str) -> list[str]:
    """What starts the ranks of the host with that number. The first host is where the others meet."""
    names = list(hosts)
    port = str(job.config.rendezvous_port)
    meeting = ["--nnodes", str(len(names)), "--node-rank", str(node), "--master-addr", names[0], "--master-port", port]
    return _torchrun(python, job, *meeting, ranks=hosts[names[node]])


def check_slots(job: Job, hosts: dict[str, int]) -> None:
    """ConfigError where the hosts have more or fewer places than there are ranks: torchrun fills every place."""
    places = sum(hosts.values())
    if places != job.config.workers:
        raise ConfigError(
            f"trainer.hosts {job.config.hosts} has {places} places, and trainer.workers is {job.config.workers}",
            f"set trainer.workers={places}, or change the hosts",
        )


def _torchrun(python: str, job: Job, *meeting: str, ranks: int) -> list[str]:
    # No restart by torchrun: the same command of ours resumes from the checkpoint, and says why it had to.
    runner = [python, "-m", "torch.distributed.run", *meeting, "--nproc-per-node", str(ranks), "--max-restarts", "0"]
    return [*runner, "-m", "nightrank.trainer.worker.main", "--job", str(job.path)]
