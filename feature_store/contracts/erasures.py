"""Erased users: the keyed marker that takes the place of an id, and the receipt of each erasure.

`LAKE/erasures/<marker>.json` is the receipt of one user. It names no id. The key is outside the lake, so a list of known users
does not tell which of them a marker is of. `LAKE/erasures.json` keeps a fingerprint of the key.
"""

import hmac
from collections.abc import Iterator
from datetime import datetime
from typing import Final, Literal

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.errors import ConflictError, SafetyRefusal
from nightrank.feature_store.contracts.files import canonical_json, read_json, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import Location

PREFIX: Final = "erased:"
"""How every marker begins, in the vocabulary and wherever else one is in the place of an id."""
_DOMAIN: Final = b"\0nightrank: erased user\0"
_KEY: Final = b"\0nightrank: which key marks the erased"


class Receipt(FrozenConfig):
    """What was rewritten for one user. Counts are of all passes over the lake together; places are names below the lake."""

    schema_version: int = 1
    user: str
    """The marker."""
    status: Literal["begun", "done"]
    begun: str
    ended: str | None = None
    passes: int = 1
    rows: dict[str, int] = {}
    """Rows removed, and cells or words replaced, by place."""
    files: dict[str, int] = {}
    """Files rewritten, by place."""
    lists: dict[str, int] = {}
    """Rows removed from lists, by release."""
    versions: dict[str, tuple[int, int]] = {}
    """Table -> its newest version before and after."""
    snapshots: tuple[str, ...] = ()
    """Ids of the snapshots whose pins were rewritten."""
    trained: bool = False
    """The user was in rows that a model was trained on."""
    outside: dict[str, int] = {}
    """Files rewritten that are not in the lake, by what they are: `MLflow`, `exports`, `event logs`."""
    left: tuple[str, ...] = ()
    """What the last pass found outside the lake and could not rewrite."""


def marker_of(key: bytes, user_id: str) -> str:
    """`erased:` and 64 hex digits. Another hash than the one of `ids.hash_users` under the same key."""
    return PREFIX + hmac.new(key, _DOMAIN + user_id.encode(), "sha256").hexdigest()


def receipt_path(lake: Lake, marker: str) -> Location:
    return lake.root / "erasures" / f"{marker.removeprefix(PREFIX)}.json"


def receipt_of(lake: Lake, marker: str) -> Receipt | None:
    path = receipt_path(lake, marker)
    return Receipt.model_validate(read_json(path)) if path.exists() else None


def save_receipt(lake: Lake, receipt: Receipt) -> None:
    """To be called inside a commit of the lake's lease."""
    write_json(receipt_path(lake, receipt.user), receipt.model_dump(mode="json"))


def receipts(lake: Lake) -> Iterator[Receipt]:
    return (Receipt.model_validate(read_json(path)) for path in (lake.root / "erasures").glob("*.json"))


def markers(lake: Lake) -> frozenset[str]:
    """Of everybody who was erased, or whose erasure has begun. Receipts are not read for it."""
    return frozenset(PREFIX + path.stem for path in (lake.root / "erasures").glob("*.json"))


def erased_rows(lake: Lake, release_id: str) -> tuple[int, int]:
    """(users, rows) that erasures have removed from the lists of a release since it was made."""
    removed = [receipt.lists.get(release_id, 0) for receipt in receipts(lake)]
    return sum(rows > 0 for rows in removed), sum(removed)


def remember_key(lake: Lake, key: bytes) -> None:
    """From now on the lake refuses another key for its markers; SafetyRefusal where it had another. Call it in a commit."""
    if not _place(lake).create(canonical_json(_body(key))):
        check_key(lake, key)


def check_key(lake: Lake, key: bytes) -> None:
    """SafetyRefusal if the lake's markers are under another key: erased users would not be recognised."""
    if _place(lake).exists() and read_json(_place(lake)) != _body(key):
        raise SafetyRefusal(
            f"ids.key_file holds another key than the one that lake {lake.root} marks erased users by",
            "nothing was written; give the key of the first erasure, or erased users would come back with a later export",
        )


def check_none_begun(lake: Lake) -> None:
    """ConflictError while an erasure was cut off: tables and their logs may not agree until it is finished."""
    if any(receipt.status == "begun" for receipt in receipts(lake)):
        raise ConflictError(
            f"an erasure on {lake.root} was cut off before its end",
            "give the same `nightrank erase` command again: it finishes",
        )


def _place(lake: Lake) -> Location:
    return lake.root / "erasures.json"


def _body(key: bytes) -> dict[str, str]:
    return {"key": hmac.new(key, _KEY, "sha256").hexdigest()}


def trained_on_erased(lake: Lake) -> int:
    """How many erased users the champion has learnt from: erased since the full run began that it descends from."""
    learnt = [receipt for receipt in receipts(lake) if receipt.trained]
    champion = lake.champion() if learnt else None
    if champion is None:
        return 0
    began = _full_run_began(lake, champion.run_id)
    return sum(began is None or datetime.fromisoformat(receipt.begun) >= began for receipt in learnt)


def _full_run_began(lake: Lake, run_id: str) -> datetime | None:
    """When the full run began from which the champion of that run grew, night by night; None where its folder is gone."""
    seen: set[str] = set()
    while run_id not in seen:
        seen.add(run_id)
        path = lake.run_dir(run_id) / "run.json"
        body = read_json(path) if path.exists() else {}
        if body.get("kind") == "full":
            return datetime.fromisoformat(body["started"]) if body.get("started") else None
        run_id = ((body.get("found") or {}).get("champion") or {}).get("run_id", run_id)
    return None
