"""Whether this Python can start a run's ranks: found before the first stage, without importing torch or Horovod."""

import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path

from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.pipeline.stages import Stage
from nightrank.trainer.config.training import BACKEND_OF, TrainerConfig


def check_ranks(config: Configuration, todo: Callable[[], Iterable[Stage]]) -> None:
    """ConfigError where a stage of `todo` starts ranks by Horovod, and this Python has none that is built for PyTorch."""
    trainer = config.section("trainer", TrainerConfig)
    if BACKEND_OF.get(trainer.launcher) != "horovod":
        return
    problem = horovod_problem()
    if problem is None:
        return
    starting = [stage.name for stage in todo() if stage.starts_ranks]
    if starting:
        raise ConfigError(
            f"stage {starting[0]} starts {trainer.workers} ranks (trainer.launcher {trainer.launcher}), and {problem}",
            "build and install it with `nightrank horovod` (it needs a C++17 compiler and no checkout), "
            "or train without it: --set trainer.launcher=torchrun, or --set trainer.launcher=one_process",
        )


def horovod_problem() -> str | None:
    """What is wrong with this Python's Horovod; None where it is there and was built for PyTorch."""
    spec = importlib.util.find_spec("horovod")
    if spec is None or spec.origin is None:
        return "Horovod is not installed in this Python"
    if not any((Path(spec.origin).parent / "torch").glob("mpi_lib*.so")):
        return "this Python's Horovod was built without PyTorch"
    return None
