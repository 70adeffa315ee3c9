"""One root error and a subclass per kind of fault. Each names the thing, the value and what to do, and has an exit code."""

from collections.abc import Mapping
from typing import Any, ClassVar

from nightrank.feature_store.contracts.secrets import without_credentials


class NightrankError(Exception):
    """What went wrong (`message`) and what to do about it (`remedy`). Neither may hold a secret or a personal field.

    Addresses in them lose user and password here, so that what a library says can be passed on.
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "unexpected"

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message = without_credentials(message)
        self.remedy = without_credentials(remedy)
        super().__init__(self.message)

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "remedy": self.remedy}


class UsageError(NightrankError):
    """The command was called in a way it does not take."""

    exit_code, code = 2, "usage"


class ConfigError(NightrankError):
    """A configuration key or value is unknown, missing or impossible with this data."""

    exit_code, code = 2, "configuration"


class NothingToDo(NightrankError):
    """The date holds no events; lists stay as they are."""

    exit_code, code = 3, "nothing"


class DataContractError(NightrankError):
    """A file or table breaks its contract as a whole; single bad rows go to quarantine instead."""

    exit_code, code = 4, "data_contract"


class ConflictError(NightrankError):
    """Another run owns the lake, or a newer one has superseded this one. Retry later."""

    exit_code, code = 5, "conflict"


class StalledError(NightrankError):
    """A training rank stopped moving or was lost. Retry: training resumes from its checkpoint."""

    exit_code, code = 6, "stalled"


class GateRejected(NightrankError):
    """The challenger was measured worse than the champion; the champion stays."""

    exit_code, code = 7, "gate_rejected"


class DayHeld(NightrankError):
    """A guard held the date back before anything was learnt of it; lists stay as they are."""

    exit_code, code = 7, "held"


class DependencyUnreachable(NightrankError):
    """A service this stage needs did not answer. Retry."""

    exit_code, code = 8, "dependency_unreachable"


class SafetyRefusal(NightrankError):
    """Doing this would lose data that something live still names."""

    exit_code, code = 9, "refused"


BY_CODE: dict[str, type[NightrankError]] = {
    kind.code: kind
    for kind in (
        NightrankError,
        UsageError,
        ConfigError,
        NothingToDo,
        DataContractError,
        ConflictError,
        StalledError,
        GateRejected,
        DayHeld,
        DependencyUnreachable,
        SafetyRefusal,
    )
}


def error_of(body: Mapping[str, Any]) -> NightrankError:
    """The error that `NightrankError.to_json` described in another process; an unknown code becomes a plain NightrankError."""
    return BY_CODE.get(body["code"], NightrankError)(body["message"], body.get("remedy", ""))
