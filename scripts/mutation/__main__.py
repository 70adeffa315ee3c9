"""Mutation tests: each module with one small fault at a time, its fast tests once for each. `make mutation` runs it.

The tests are imported once; every fault is tried in a fork, which gives the module the faulty code and runs its tests until
the first failure. A fault that makes them fail, or run longer than the limit, is caught. Random tests draw the same examples
every time. Ends with 1 if less than nine in ten of any module's faults are caught. docs/reference/mutation.md keeps the
figures and says why each survivor survives.
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Final

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: forks do not share a pool of threads
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"

import pytest
from hypothesis import Phase, settings

from scripts.mutation.trial import Trial

ROOT: Final = Path(__file__).resolve().parents[2]
LEAST: Final = 0.9
TESTS: Final = {
    "ranker.metrics.ranking": ("test_metrics",),
    "ranker.retrieval.topk": ("test_topk", "test_topk_borders", "test_topk_plans"),
    "ranker.retrieval.chunks": ("test_topk_bounds", "test_topk_borders", "test_topk_plans"),
    "ranker.retrieval.exact": ("test_exact_scores", "test_topk_borders", "test_topk_plans"),
    "ranker.retrieval.rounding": ("test_topk_bounds",),
    "feature_store.training_rows": ("test_what_a_label_sees", "test_collapse", "test_training_rows"),
    "trainer.data.plan": ("test_plan", "test_validation_sample"),
    "trainer.evaluation.decision": ("test_decision", "test_decision_figures"),
    "ranker.growth": ("test_ranker_growth", "test_what_may_grow", "test_growth", "test_grown_copy"),
}
"""Module -> files of tests/unit that must catch its faults."""
OPTIONS: Final = ("-q", "-s", "--no-header", "--tb=no", "-p", "no:cacheprovider", "-p", "no:warnings")


def tried(module: str, workers: int) -> Trial:
    trial = Trial(f"nightrank.{module}", ROOT / f"{module.replace('.', '/')}.py", workers)
    files = [str(ROOT / "tests" / "unit" / f"{name}.py") for name in TESTS[module]]
    if pytest.main([*OPTIONS, "-m", "not slow", *files], plugins=[trial]) or not trial.tried:
        raise SystemExit(f"the faults of {module} could not be tried")
    return trial


def main() -> int:
    parser = argparse.ArgumentParser(description="Tries small faults in modules that decide what is learnt and what goes live.")
    parser.add_argument("modules", nargs="*", choices=[[], *TESTS], help=f"of {', '.join(TESTS)}; all without one")
    parser.add_argument("--workers", type=int, default=2, help="faults tried at once")
    options = parser.parse_args()
    os.chdir(ROOT)
    settings.register_profile("mutation", database=None, derandomize=True, phases=(Phase.explicit, Phase.generate))
    settings.load_profile("mutation")
    lowest = 1.0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
        for module in options.modules or TESTS:
            trial = tried(module, options.workers)
            caught = trial.tried - len(trial.survivors)
            lowest = min(lowest, caught / trial.tried)
            print(f"{module}: {trial.tried} faults, {caught} caught, {caught / trial.tried:.1%}", flush=True)
    return int(lowest < LEAST)


if __name__ == "__main__":
    raise SystemExit(main())
