"""What one check says: its name, how bad it is, what was seen, what to do."""

from dataclasses import asdict, dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]
ORDER: tuple[Status, ...] = ("ok", "warn", "fail")


@dataclass(frozen=True)
class Finding:
    name: str
    status: Status
    seen: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)


def worst(findings: list[Finding]) -> Status:
    return max((finding.status for finding in findings), key=ORDER.index, default="ok")
