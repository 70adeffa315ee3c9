"""A program: lists of a bundle for histories of raw ids. For processes that import no engine; JSON in, JSON out."""

import json
from pathlib import Path
from typing import Any

from nightrank.feature_store.contracts.one_answer import one_answer
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
    return one_answer(lambda text: listed(json.loads(text)))


if __name__ == "__main__":
    raise SystemExit(main())
