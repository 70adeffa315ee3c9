"""A promotion is a compare-and-set on the champion that the challenger was compared with; and what a night grows from."""

from nightrank.feature_store.contracts.context import StageContext
from nightrank.feature_store.contracts.errors import ConflictError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.model_ref import ModelRef
from nightrank.feature_store.contracts.snapshot import Parent

ALIAS = "champion"


def replace_champion(context: StageContext, ref: ModelRef, over: str | None) -> ModelRef:
    """`ref` is the champion afterwards. To be called inside `context.commit()`: nobody else writes then.

    `over` is the manifest of the champion it was compared with, None for none. ConflictError where there is another one;
    a promotion that was cut off after its write and is repeated changes nothing.
    """
    before = context.lake.champion()
    if before is not None and ref.same_as(before):
        return before
    found = before.manifest_sha256 if before else None
    if found != over:
        raise ConflictError(
            f"{ref.name} version {ref.version} was compared with {_named(over)}, and the champion is {_named(found)} now",
            "nothing was promoted; give the same command again: the gate then compares with the new champion",
        )
    # A second promotion of one run: what the run found when it began stays the one that it replaced.
    replaced = before.replaced if before is not None and before.run_id == ref.run_id else found
    if before is not None:
        before.save(context.lake.earlier_champion(before.manifest_sha256))
    champion = ref.model_copy(update={"alias": ALIAS, "replaced": replaced})
    champion.save(context.lake.champion_path)
    return champion


def set_back_champion(lake: Lake, ref: ModelRef) -> None:
    """`ref`, which was champion before, is champion again. To be called inside a commit of the lake's lease."""
    present = lake.expect_champion()
    present.save(lake.earlier_champion(present.manifest_sha256))
    ref.save(lake.champion_path)


def parent_of(ref: ModelRef) -> Parent:
    """The champion as a night's snapshot pins it."""
    return Parent(
        version=ref.version,
        bundle=ref.bundle,
        checkpoint=ref.checkpoint,
        lineage=ref.vocabulary_lineage,
        snapshot_id=ref.snapshot_id,
        manifest_sha256=ref.manifest_sha256,
    )


def _named(manifest: str | None) -> str:
    return "no champion" if manifest is None else f"the model {manifest[:12]}"
