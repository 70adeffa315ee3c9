"""StageOutput: what a stage hands on to later stages, to result.json and to the report."""

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
    """Of a stage that has no model of its own: it hands on tables alone, or whatever it likes."""

    model_config = ConfigDict(extra="allow")
