"""A worker as any other, but that rank 1 was given another job than rank 0."""

import os
import sys
from pathlib import Path

from nightrank.feature_store.contracts.storage import locate
from nightrank.trainer.config.job import load_job
from nightrank.trainer.ranks.worlds import rank_of
from nightrank.trainer.worker.main import work


def main(path: Path) -> int:
    job = load_job(locate(path))
    if rank_of(os.environ, job.config.ranks_by) == 1:
        job = job.model_copy(update={"config": job.config.model_copy(update={"batch_rows": job.config.batch_rows + 1})})
    return work(job)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
