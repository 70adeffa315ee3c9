"""Faults as JSON: what one rank found reaches the others and the launcher with its kind and its remedy."""

from typing import Any, ClassVar

from nightrank.feature_store.contracts.errors import BY_CODE, NightrankError


class DivergedError(NightrankError):
    """The loss is no longer a number. The last good checkpoint is kept."""

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "diverged"


def fault_from_json(body: dict[str, Any]) -> NightrankError:
    """The error that `NightrankError.to_json` described; an unknown code becomes a plain NightrankError."""
    kinds: dict[str, type[NightrankError]] = {**BY_CODE, DivergedError.code: DivergedError}
    return kinds.get(body["code"], NightrankError)(body["message"], body.get("remedy", ""))
