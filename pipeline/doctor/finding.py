"""What one check says: its name, how bad it is, what was seen, what to do."""

from dataclasses import asdict, dataclass
from typing import Literal

from nightrank.feature_store.contracts.secrets import without_credentials

Status = Literal["ok", "warn", "fail"]
ORDER: tuple[Status, ...] = ("ok", "warn", "fail")


@dataclass(frozen=True)
class Finding:
    name: str
    status: Status
    seen: str
    remedy: str = ""

    def __post_init__(self) -> None:
        """What is seen may be an address, or a library's words with one in it: it has no user and password."""
        object.__setattr__(self, "seen", without_credentials(self.seen))
        object.__setattr__(self, "remedy", without_credentials(self.remedy))

    def to_json(self) -> dict[str, str]:
        return asdict(self)


def worst(findings: list[Finding]) -> Status:
    return max((finding.status for finding in findings), key=ORDER.index, default="ok")
