"""A program: what each item of a history adds to the score of an item. For processes that import no engine; JSON in, JSON out.

The effect of an item is the score with the whole history less the score without the item: exact for every encoder and head, in
one batch of at most as many rows as the encoder reads tokens.
"""

import json
from pathlib import Path
from typing import Any

import torch

from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.one_answer import one_answer
from nightrank.ranker.bundle.bundle import Bundle, load_bundle
from nightrank.ranker.bundle.histories import History, batch_of_histories


def effects(bundle: Bundle, history: History, item: str) -> tuple[float, list[tuple[str, float]]]:
    """(score, [(history item, how much lower the score is without its events)], the largest first, of equal ones the newest).

    UsageError where the bundle does not know the item, or no item of the history.
    """
    if item not in bundle.dense_ids:
        raise UsageError(f"the released model does not know item {item!r}", "check the id; a new item is known after a night")
    read = _newest(history, bundle)
    names = list(dict.fromkeys(reversed([str(raw) for raw in read.items])))
    if not names:
        raise UsageError("the released model knows no item of this history", "the list is what is popular: nothing to explain")
    rows = [read, *(_without(read, name) for name in names)]
    batch = batch_of_histories(rows, bundle.dense_ids, bundle.info.default_action, bundle.info.features, bundle.of_items)
    wanted = torch.full((len(rows), 1), bundle.dense_ids[item])
    scores = bundle.scores_of(bundle.user_vectors(batch), wanted)[:, 0].tolist()
    drops = [(name, scores[0] - score) for name, score in zip(names, scores[1:], strict=True)]
    return scores[0], sorted(drops, key=lambda pair: -pair[1])


def _newest(history: History, bundle: Bundle) -> History:
    """The events that the encoder reads: of items that it knows, the newest."""
    known = [place for place, raw in enumerate(history.items) if str(raw) in bundle.dense_ids]
    return _at(history, known[-bundle.info.ranker.encoder.max_length :])


def _without(history: History, name: str) -> History:
    return _at(history, [place for place, raw in enumerate(history.items) if str(raw) != name])


def _at(history: History, places: list[int]) -> History:
    times, actions = history.times, history.actions
    return History(
        [history.items[place] for place in places],
        None if times is None else [times[place] for place in places],
        None if actions is None else [actions[place] for place in places],
        history.attributes,
    )


def explained(request: dict[str, Any]) -> dict[str, Any]:
    """`score` of `item` for `history`, and `effects`, by the bundle in `folder`."""
    bundle = load_bundle(Path(request["folder"]), request["manifest"])
    score, found = effects(bundle, History(*request["history"]), request["item"])
    return {"score": score, "effects": found}


def main() -> int:
    return one_answer(lambda text: explained(json.loads(text)))


if __name__ == "__main__":
    raise SystemExit(main())
