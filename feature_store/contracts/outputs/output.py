"""StageOutput: what a stage passes on to later stages, to result.json and to the report."""

from typing import Any, ClassVar

from pydantic import ConfigDict

from nightrank.feature_store.contracts.config import FrozenConfig


class StageOutput(FrozenConfig):
    """Its fields are sections of result.json, under their names there. Stands as `output` in the stage's record."""

    STAGE: ClassVar[str] = ""
    REVISION: ClassVar[int] = 1
    """Counted up when the same inputs give an output, or tables, of another form."""

    def identity(self) -> Any:
        """What tells this output from another: without how long it took, or when it was made."""
        return self.sections

    @property
    def sections(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


class OtherOutput(StageOutput):
    """The output of a stage without a model here: it writes only tables, or any fields."""

    model_config = ConfigDict(extra="allow")
