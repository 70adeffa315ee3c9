"""The aliases in the tracker follow `LAKE/champion.json`, outside a run: after a rollback."""

import argparse

from nightrank.feature_store.contracts.stage import exit_codes, opened
from nightrank.feature_store.contracts.storage import locate
from nightrank.trainer.tracking.aliases import reconcile


def main(argv: list[str] | None = None) -> int:
    """`--run-dir` names the run whose configuration says where the tracker is. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="nightrank.trainer.stages.alias", description=main.__doc__)
    parser.add_argument("--run-dir", type=locate, required=True)
    with exit_codes() as outcome, opened(parser.parse_args(argv).run_dir, "alias") as context:
        reconcile(context)
    return outcome[0]


if __name__ == "__main__":
    raise SystemExit(main())
