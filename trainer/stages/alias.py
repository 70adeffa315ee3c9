"""The aliases in the tracker follow `LAKE/champion.json`, outside a run: after a rollback."""

from nightrank.feature_store.contracts.one_answer import one_answer
from nightrank.feature_store.contracts.stage import opened
from nightrank.feature_store.contracts.storage import locate
from nightrank.trainer.tracking.aliases import reconcile


def follow(run_dir: str) -> dict[str, list[str]]:
    """`moved`: a sentence for each alias that was not as the lake says. The run's configuration says where the tracker is."""
    with opened(locate(run_dir), "alias") as context:
        return {"moved": reconcile(context)}


def main() -> int:
    return one_answer(follow)


if __name__ == "__main__":
    raise SystemExit(main())
