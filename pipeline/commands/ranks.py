"""`join`: this pod or machine as one rank of a training that runs elsewhere."""

import signal
import sys
from typing import Annotated

import typer

from nightrank.pipeline.commands.options import Json


def join(
    at: Annotated[str, typer.Option("--at", help="HOST:PORT of rank 0; the port is trainer.rendezvous_port.")],
    rank: Annotated[int, typer.Option("--rank", min=1, envvar="JOB_COMPLETION_INDEX", help="Which rank this is.")],
    wait_seconds: Annotated[float, typer.Option("--wait-seconds", min=0, help="How long to wait for a training.")] = 3600.0,
    stay: Annotated[bool, typer.Option("--stay", help="After a training that ended well, wait for the next one.")] = False,
    as_json: Json = False,
) -> None:
    """Be one rank of a training with trainer.launcher=pods. Rank 0 is the process that runs the training stage.

    The lake must be at the same path or address as there. Ends like the training: 6 if a rank was lost (start it again:
    training resumes), 8 if no training began.

    Example: nightrank join --rank 1 --at train-0.train:29400
    """
    from nightrank.feature_store.contracts.errors import ConfigError, UsageError
    from nightrank.pipeline.output import out, print_json
    from nightrank.pipeline.run.ranks_check import horovod_problem
    from nightrank.trainer.launch.join import join as take_part

    host, _, port = at.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"--at {at} is not HOST:PORT", "for example --at train-0.train:29400")
    if problem := horovod_problem():
        raise ConfigError(problem, "build and install it with `nightrank horovod`")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    while True:
        run_id = take_part(host, int(port), rank, wait_seconds).run_id
        if not stay:
            break
    if as_json:
        print_json({"status": "done", "exit_code": 0, "run_id": run_id, "rank": rank})
    else:
        out(f"{run_id}: rank {rank} has done its part")
