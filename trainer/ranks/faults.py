"""Faults as JSON: what one rank found reaches the others and the launcher with its kind and its remedy."""

from typing import Any, ClassVar

from nightrank.feature_store.contracts.errors import NightrankError, error_of


class DivergedError(NightrankError):
    """The loss is no longer a number. The last good checkpoint is kept."""

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "diverged"


def fault_from_json(body: dict[str, Any]) -> NightrankError:
    """As `error_of`, of the trainer's own kind too."""
    return DivergedError(body["message"], body.get("remedy", "")) if body["code"] == DivergedError.code else error_of(body)
