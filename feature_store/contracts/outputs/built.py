"""What stage build_features leaves beside its tables: nothing yet."""

from typing import ClassVar

from nightrank.feature_store.contracts.outputs.output import StageOutput


class Built(StageOutput):
    STAGE: ClassVar[str] = "build_features"
    REVISION: ClassVar[int] = 2
    """2: counts by day, where running sums stood before."""
