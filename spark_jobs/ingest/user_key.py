"""The key under which user ids are hashed at ingest. It lives outside the lake and is never logged.

A lake remembers in `user_ids.json` how it knows its users: by their own ids, or by hashes under one key, of which it keeps a
fingerprint. Under another key every user would be a new one, beside the same user of yesterday.
"""

import hmac
from pathlib import Path
from typing import Any, Final

from nightrank.feature_store.contracts.erasures import check_key
from nightrank.feature_store.contracts.errors import ConfigError, SafetyRefusal
from nightrank.feature_store.contracts.files import canonical_json, read_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.settings import IdSettings
from nightrank.feature_store.contracts.storage import Location

SHORTEST: Final = 16
CONSTANT: Final = b"\0nightrank: which key is it"
"""No user id holds a NUL byte, so the fingerprint is no user's hash."""
ROTATE: Final = "or go on under the new key in a new lake (docs/runbook.md, `Rotate the key of user ids`)"


def user_key(settings: IdSettings, lake: Lake) -> bytes | None:
    """The key's bytes, or None where user ids are kept as they are.

    ConfigError if the file is not set, missing or shorter than 16 bytes; SafetyRefusal if it is inside the lake, where
    whoever can read the hashes could read the key, or if the lake knows its users by another key or none.
    """
    key = _key_of(settings, lake, "ids.hash_users is on") if settings.hash_users else None
    _check(lake, key)
    return key


def erasure_key(settings: IdSettings, lake: Lake) -> bytes:
    """The key that marks erased users; also needed where ids are kept as they are. ConfigError where it is not set,
    SafetyRefusal for another key than that of the lake's first erasure."""
    key = _key_of(settings, lake, "the ids of erased users are kept as hashes under a key")
    check_key(lake, key)
    return key


def remember(lake: Lake, key: bytes | None) -> None:
    """From now on the lake refuses another key. Before the first row that is stored; later calls change nothing."""
    if not place_of(lake).create(canonical_json(_body(key))):
        _check(lake, key)


def place_of(lake: Lake) -> Location:
    return lake.root / "user_ids.json"


def _body(key: bytes | None) -> dict[str, Any]:
    return {"hashed": key is not None, "key": hmac.new(key, CONSTANT, "sha256").hexdigest() if key is not None else None}


def _check(lake: Lake, key: bytes | None) -> None:
    """SafetyRefusal unless the lake knows its users so, or stores none yet. A lake of an older release does not say."""
    place = place_of(lake)
    if not place.exists():
        return
    known, wanted = read_json(place), _body(key)
    if known == wanted:
        return
    if not known["hashed"]:
        raise SafetyRefusal(
            f"lake {lake.root} stores user ids as they are, and ids.hash_users would add hashes beside them",
            "nothing was written; leave ids.hash_users off, or import into a new lake with it",
        )
    if key is None:
        raise SafetyRefusal(
            f"lake {lake.root} stores hashes of user ids, and without ids.hash_users the ids would stand beside them",
            "nothing was written; set ids.hash_users and ids.key_file as in the runs before",
        )
    raise SafetyRefusal(
        f"ids.key_file holds another key than the one that lake {lake.root} knows its users by: all of them would be new users",
        f"nothing was written; give the earlier key, {ROTATE}",
    )


def _key_of(settings: IdSettings, lake: Lake, reason: str) -> bytes:
    if settings.key_file is None:
        raise ConfigError(f"{reason}, and ids.key_file is not set", "name a file with the key, outside the lake")
    path = Path(settings.key_file).resolve()
    if lake.root.is_local and path.is_relative_to(lake.root.path.resolve()):
        raise SafetyRefusal(f"ids.key_file {path} stands inside the lake", "move the key outside the lake")
    if not path.is_file():
        raise ConfigError(f"ids.key_file {path} does not exist", "make one: `head -c 32 /dev/urandom | base64 > FILE`")
    key = path.read_bytes().strip()
    if len(key) < SHORTEST:
        raise ConfigError(f"ids.key_file {path} holds {len(key)} bytes", f"a key has at least {SHORTEST} bytes")
    return key
