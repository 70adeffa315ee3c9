"""One rank of several, alone on its pod or machine: its worker with what horovodrun would tell it, watched by this process."""

import os
import socket
import sys
from dataclasses import dataclass
from typing import Final

import psutil

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.trainer.config.job import Job
from nightrank.trainer.launch.environment import environment_of_workers, handed_over
from nightrank.trainer.launch.host_name import check_hostname
from nightrank.trainer.launch.supervise import supervise

LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True)
class Meeting:
    """Where a rank finds the others."""

    server: str
    """Address of rank 0's rendezvous server, as this rank reaches it."""
    port: int
    own: str
    """Address by which the others reach this rank."""


def run_rank(job: Job, path: str, rank: int, meeting: Meeting) -> None:
    """One worker on the job file at `path`, watched by this process until it ends."""
    check_hostname(socket.gethostname(), meeting.own)
    command = [sys.executable, "-m", "nightrank.trainer.worker.main", "--job", path]
    with handed_over(job, os.environ) as where:
        environment = {**environment_of_workers(job), **horovod_environment(rank, job.config.workers, meeting), **where}
        supervise(command, environment, job, rank)


def horovod_environment(rank: int, size: int, meeting: Meeting) -> dict[str, str]:
    """What horovodrun would tell a rank that is alone on its machine: its place, the server, and Gloo's interface."""
    interface = os.environ.get("HOROVOD_GLOO_IFACE") or interface_of(meeting.own)
    return {
        "HOROVOD_HOSTNAME": host_of(rank),
        "HOROVOD_RANK": str(rank),
        "HOROVOD_SIZE": str(size),
        "HOROVOD_LOCAL_RANK": "0",
        "HOROVOD_LOCAL_SIZE": "1",
        "HOROVOD_CROSS_RANK": str(rank),
        "HOROVOD_CROSS_SIZE": str(size),
        "HOROVOD_CONTROLLER": "gloo",
        "HOROVOD_CPU_OPERATIONS": "gloo",
        "HOROVOD_GLOO_RENDEZVOUS_ADDR": meeting.server,
        "HOROVOD_GLOO_RENDEZVOUS_PORT": str(meeting.port),
        "HOROVOD_GLOO_IFACE": interface,
        "NCCL_SOCKET_IFNAME": os.environ.get("NCCL_SOCKET_IFNAME") or interface,
    }


def host_of(rank: int) -> str:
    """The name under which Horovod keeps a rank's machine apart from the others."""
    return f"rank-{rank}"


def interface_of(address: str) -> str:
    """The network interface that has the address. ConfigError if none has."""
    wanted = LOOPBACK if address.startswith("127.") else address
    for name, addresses in psutil.net_if_addrs().items():
        if any(each.family == socket.AF_INET and each.address == wanted for each in addresses):
            return name
    raise ConfigError(f"no network interface of this machine has the address {address}", "name it in HOROVOD_GLOO_IFACE")
