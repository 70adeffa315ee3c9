"""Which world a worker is in: one process, Horovod or torch.distributed."""

import os
from collections.abc import Mapping

from nightrank.trainer.config.training import BackendName, TrainerConfig
from nightrank.trainer.ranks.communicator import Communicator, SingleProcess
from nightrank.trainer.ranks.watchdog import Progress


def open_world(config: TrainerConfig, progress: Progress, single: bool = False) -> Communicator:
    """All ranks have met when this returns. `single`: a world of size one, whatever the configuration names."""
    if single:
        return SingleProcess()
    if config.ranks_by == "torch":
        from nightrank.trainer.ranks.torch_world import TorchDistributed

        return TorchDistributed(progress, os.environ, config.compression)
    from nightrank.trainer.ranks.horovod_world import Horovod

    return Horovod(progress, config.compression)


def rank_of(environ: Mapping[str, str], backend: BackendName) -> int:
    """Launchers say the rank before anything is initialised, so that even a failing start has a name."""
    return int(environ.get("RANK" if backend == "torch" else "HOROVOD_RANK", "0"))
