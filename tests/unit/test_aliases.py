"""MLflow's aliases follow the lake's champion, in a real registry of its own: after a promotion, and where a hand moved one."""

from pathlib import Path

import pytest

from nightrank.feature_store.contracts.champion import set_back_champion
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.model_ref import ModelRef
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.trainer.stages.register import promote
from nightrank.trainer.tracking.aliases import reconcile
from nightrank.trainer.tracking.tracker import MANIFEST, tracker_of
from tests import evaluation_lake as lakes


@pytest.fixture
def context(tmp_path: Path) -> StageContext:
    return lakes.context_of(tmp_path, mlflow={})


def registered(context: StageContext, number: int) -> ModelRef:
    """A run's model as stage register leaves it: a version with the manifest in its tags, and the run's model_ref.json."""
    manifest = f"{number}" * 64
    ref = lakes.ref_of(f"models/{manifest}", f"run-{number}", number, f"2024-03-0{number}")
    ref.save(context.lake.run_dir(ref.run_id) / "model_ref.json")
    with tracker_of(context) as tracker:
        if number == 1:
            tracker.client.create_registered_model(ref.name)
        made = tracker.client.create_model_version(ref.name, f"file:{context.root}", tags={MANIFEST: manifest})
    assert int(made.version) == number
    return ref


def aliases(context: StageContext) -> dict[str, int]:
    with tracker_of(context) as tracker:
        return {name: int(at) for name, at in tracker.client.get_registered_model("nightrank").aliases.items()}


def test_they_follow_promotions_and_are_put_right_by_name(context: StageContext) -> None:
    first, second = registered(context, 1), registered(context, 2)
    promote(context, first, over=None)
    assert aliases(context) == {"champion": 1, "challenger": 2}
    promote(context, second, over=first.manifest_sha256)
    assert aliases(context) == {"champion": 2, "previous": 1, "challenger": 2} and reconcile(context) == []
    registered(context, 3)
    with tracker_of(context) as tracker:
        tracker.client.set_registered_model_alias("nightrank", "champion", "1")
        tracker.client.delete_registered_model_alias("nightrank", "previous")
    assert reconcile(context) == [
        "alias champion of nightrank pointed at version 1, and points at version 2 of 2024-03-02 now, as the lake says",
        "alias previous of nightrank was missing, and points at version 1 of 2024-03-01 now, as the lake says",
        "alias challenger of nightrank pointed at version 2, and points at version 3 of 2024-03-03 now, as the lake says",
    ]
    assert aliases(context) == {"champion": 2, "previous": 1, "challenger": 3}


def test_after_a_rollback_to_the_first_there_is_no_previous(context: StageContext) -> None:
    first, second = registered(context, 1), registered(context, 2)
    promote(context, first, over=None)
    promote(context, second, over=first.manifest_sha256)
    earlier = context.lake.champion_replaced_by(context.lake.expect_champion())
    assert earlier is not None
    set_back_champion(context.lake, earlier)
    assert reconcile(context)[1] == "alias previous of nightrank pointed at version 1, and is removed"
    assert aliases(context) == {"champion": 1, "challenger": 2}


def test_a_registry_that_was_begun_again_is_left_alone_until_it_knows_the_champion(context: StageContext) -> None:
    promote(context, registered(context, 1), over=None)
    champion = context.lake.expect_champion()
    champion.model_copy(update={"manifest_sha256": "f" * 64}).save(context.lake.champion_path)
    with tracker_of(context) as tracker:
        tracker.client.delete_registered_model_alias("nightrank", "champion")
    assert reconcile(context) == [] and aliases(context) == {"challenger": 1}
    assert Lake(context.root).expect_champion().manifest_sha256 == "f" * 64
