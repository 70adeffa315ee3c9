"""The list of stages: one order, nothing stands on what comes later, and it needs nothing but the standard library."""

import subprocess
import sys

from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.pipeline.stages import STAGES, names, stages_of


def test_a_stage_stands_only_on_stages_before_it() -> None:
    seen: set[str] = set()
    for stage in STAGES:
        assert set(stage.needs) <= seen, stage.name
        seen.add(stage.name)
    assert len(seen) == len(STAGES)


def test_full_and_nightly_run_the_same_list_and_the_verdict_is_last() -> None:
    on, off = (
        Configuration.from_run({"impressions": {"enabled": value}, "experiments": {"enabled": value}})
        for value in (True, False)
    )
    unset = Configuration.from_run({})
    assert stages_of("full", on) == stages_of("nightly", on) == STAGES
    left_out = [stage.name for stage in STAGES if stage not in stages_of("full", off)]
    assert left_out == ["read_feedback", "train_ctr", "register_ctr", "score_ctr"]
    assert stages_of("full", off) == stages_of("full", unset) == tuple(stage for stage in STAGES if stage.switch is None)
    assert names()[-1] == "verdict"
    assert [stage.name for stage in STAGES if stage.ends_run] == ["verdict"]


def test_lists_are_never_held_up_by_what_comes_after_their_release() -> None:
    after = names().index("release")
    assert {stage.name for stage in STAGES if stage.on_failure == "continue"} <= set(names()[after + 1 :])


def test_the_list_imports_the_standard_library_only() -> None:
    program = "import sys; before = set(sys.modules); import nightrank.pipeline.stages; print(*(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    tops = {name.split(".")[0] for name in loaded} - {"nightrank"}
    assert tops <= sys.stdlib_module_names
