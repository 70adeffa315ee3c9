"""N workers in N pods or machines, each started by somebody else: no ssh, no MPI, no rights in a cluster.

The process that runs the stage is rank 0's. It waits until `nightrank join` of every other rank has come, gives each the job,
and Horovod starts over Gloo. Each process watches its own worker and all heartbeats, so each ends as `launch` says.
"""

from nightrank.feature_store.contracts.logs import log
from nightrank.trainer.config.job import Job
from nightrank.trainer.launch.one_rank import LOOPBACK, Meeting, run_rank


def lead(job: Job) -> None:
    """Rank 0's side: the training ended well when this returns. StalledError where a rank did not come, hung or was lost."""
    from nightrank.trainer.launch.rendezvous import gathering

    others = job.config.workers - 1
    with gathering(job) as gathered:
        log.info(f"rank 0 waits on port {gathered.port} for {others} other ranks (`nightrank join`)")
        own = gathered.wait(job.config.watchdog.startup_seconds) if others else LOOPBACK
        run_rank(job, str(job.path), 0, Meeting(LOOPBACK, gathered.port, own))
