"""A program that stays: opens one bundle, then answers a line of JSON with a line of JSON until its input ends."""

import json
import sys
from pathlib import Path
from typing import Any

from nightrank.feature_store.contracts.errors import NightrankError
from nightrank.ranker.bundle.bundle import Bundle, load_bundle


def answer(bundle: Bundle, hidden: list[str], request: dict[str, Any]) -> dict[str, Any]:
    """`list`: up to `k` pairs [item id, score] for `history`, without those in `hidden`; `known`: it has a known item."""
    history = request["history"]
    (found,) = bundle.recommend_many([history], [request["k"]], hidden=hidden)
    return {"list": found, "known": any(item in bundle.dense_ids for item in history)}


def main() -> int:
    """The first line names `folder`, `manifest` and `hidden` and is answered by {"ready": true}, or by `error`."""
    opening = json.loads(sys.stdin.readline())
    try:
        bundle = load_bundle(Path(opening["folder"]), opening["manifest"])
    except NightrankError as error:
        print(json.dumps({"error": error.to_json()}), flush=True)
        return error.exit_code
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(bundle, opening["hidden"], json.loads(line))), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
