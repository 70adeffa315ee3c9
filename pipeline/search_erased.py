"""`nightrank verify --erased`: every file of the lake is searched for a user."""

from typing import Any

from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.settings import IdSettings
from nightrank.feature_store.erasure.search import hits
from nightrank.feature_store.erasure.user import ErasedUser, decimal
from nightrank.pipeline import outside
from nightrank.pipeline.erase import user_of


def search(lake: Lake, user_id: str, config: Configuration) -> dict[str, Any]:
    """The files that hold the user, by name below the lake; and what was written from it elsewhere. Reads only.

    With `ids.key_file` his marker is known, and rows under his number in the vocabulary are searched for too.
    """
    keyed = config.section("ids", IdSettings).key_file is not None
    user = user_of(lake, user_id, config) if keyed else _unkeyed(lake, user_id)
    found = [
        {"path": hit.place.below(lake.root), "kind": hit.kind, "rows": hit.found.rows, "cells": hit.found.cells}
        for hit in hits(lake, user)
    ]
    places = outside.sought(lake, user, config, "search")
    named = bool(found) or any(place.found for place in places)
    return {
        "status": "found" if named else "nothing found",
        "exit_code": DataContractError.exit_code if named else 0,
        "files": sum(1 for _ in lake.root.walk()),
        "rows_by_number": user.dense is not None,
        "found": found,
        "outside": [place.model_dump(mode="json", include={"name", "found", "unread"}) for place in places],
    }


def _unkeyed(lake: Lake, user_id: str) -> ErasedUser:
    integer = lake.landing_meta().get("id_type") == "int64"
    return ErasedUser((decimal(user_id.strip(), integer=integer),), "", integer)
