"""A program: lists of a bundle for histories of raw ids. For processes that import no engine; JSON in, JSON out."""

import json
import sys
from pathlib import Path
from typing import Any

from nightrank.feature_store.contracts.errors import NightrankError
from nightrank.ranker.bundle.bundle import load_bundle


def listed(request: dict[str, Any]) -> dict[str, Any]:
    """`lists`: for each of `histories` up to `k` pairs [item id, score], best first, without those in `hidden`.

    `known` says whether the model knows an item of the history. DataContractError where the bundle in `folder` is not that of
    `manifest`.
    """
    bundle = load_bundle(Path(request["folder"]), request["manifest"])
    histories = request["histories"]
    lists = bundle.recommend_many(histories, [request["k"]] * len(histories), hidden=request["hidden"])
    return {"lists": lists, "known": [any(item in bundle.dense_ids for item in history) for history in histories]}


def main() -> int:
    """One JSON object from stdin, one to stdout: `listed`'s, or `error` with its exit code."""
    try:
        answer = listed(json.load(sys.stdin))
    except NightrankError as error:
        json.dump({"error": error.to_json()}, sys.stdout)
        return error.exit_code
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
