"""Growing a ranker's tables for ids that came after it was trained. Old rows are the same bits afterwards.

Shapes: I1 = items + 1, J trained items, F features, d width.
"""

from typing import Any, Final

import torch
from torch import Tensor

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.compose import compose_empty, materialise
from nightrank.ranker.inputs import ItemInputs, ItemShapes
from nightrank.ranker.model import IDS, Ranker
from nightrank.ranker.ridge import fit_ridge
from nightrank.ranker.tables.row_table import NewTable, RowTable
from nightrank.ranker.text.tower import TextTower

TOWER: Final = "items.text_tower."
CATEGORIES: Final = "items.categories.weight"
BIAS: Final = "items.bias"
USERS: Final = "encoder.users.weight"
RIDGE: Final = 0.1
"""Penalty for a feature of variance 1, per trained item."""
ROWS: Final = 8192
"""Items that are processed at once: what is held of them in double precision does not grow with the catalogue."""


def grow(ranker: Ranker, inputs: ItemInputs, table: NewTable = torch.nn.Embedding) -> Ranker:
    """A new ranker for a vocabulary that extends the old one; its buffers hold `inputs`, its mode is the old one's.
    `table` makes its table of ids: where ranks share that out, each gets its own rows.

    A new item's vector is its text and side features through the trained projections plus an id embedding: from a ridge map
    of text and categories fitted on the old items' id embeddings; without text the mean over items of its categories; else
    the mean over all. DataContractError where the vocabulary shrank or a feature width changed.
    """
    _check(ranker.shapes, inputs.shapes)
    with torch.no_grad():
        grown = _grown(ranker, inputs, table)
    grown.train(ranker.training)
    return grown


def _grown(ranker: Ranker, inputs: ItemInputs, table: NewTable) -> Ranker:
    old, new = ranker.shapes, inputs.shapes
    device = ranker.items.popularity.device
    grown = materialise(compose_empty(ranker.config, new, device, table), inputs)
    source = ranker.state_dict()
    _keep_texts(ranker, grown, inputs)
    for name, parameter in grown.named_parameters():
        if name.startswith(TOWER):
            continue
        value = source[name]
        if name == IDS and grown.row_table is not None:
            _copy_held(value, grown.row_table)
            continue
        if value.shape == parameter.shape:
            parameter.copy_(value)
        else:
            parameter[: len(value)] = value
            parameter[len(value) :] = value[1:].mean(0) if len(value) > 1 else 0.0
    if ranker.items.ids is not None and new.items > old.items:
        ids_new = torch.arange(old.items + 1, new.items + 1, device=device)
        guessed = _guessed(ranker, grown, ids_new)
        held = grown.row_table
        if held is None:
            grown.get_parameter(IDS)[old.items + 1 :] = guessed
        else:
            mine = held.rows.mine(ids_new)
            held.weight[held.rows.place(ids_new[mine])] = guessed[mine]
    return grown


def _copy_held(whole_Id: Tensor, table: RowTable) -> None:
    """The held rows of the old table are at their places, a few at a time: it may be on disk."""
    for start in range(0, len(whole_Id), ROWS):
        ids = torch.arange(start, min(start + ROWS, len(whole_Id)), device=whole_Id.device)
        mine = ids[table.rows.mine(ids)]
        table.weight[table.rows.place(mine)] = whole_Id[mine].to(table.weight.device)


def _keep_texts(ranker: Ranker, grown: Ranker, inputs: ItemInputs) -> None:
    """A tuned text encoder continues as it is; old items keep its vectors, new ones get theirs from it."""
    tower = ranker.items.text_tower
    if tower is None:
        return
    if inputs.tokens is None:
        raise DataContractError("the ranker tunes its text encoder, but the inputs hold no tokens", "load them with the inputs")
    grown.items.text_tower = TextTower(tower.model, inputs.tokens, tower.tuning).to(ranker.items.popularity.device)
    old = ranker.shapes.items + 1
    grown.items.text_matrix[:old] = ranker.items.text_matrix
    new = torch.arange(old, len(grown.items.text_matrix), device=ranker.items.popularity.device)
    new = new[grown.items.text_tower.lengths[new] > 0]
    grown.items.text_matrix[new] = grown.items.text_tower.without_gradient(new)


def grown_rows(old: ItemShapes, new: ItemShapes) -> dict[str, tuple[int, int]]:
    """Parameter name -> (rows before, rows after) of every table that `grow` made longer."""
    items = (old.items + 1, new.items + 1)
    tables = {
        IDS: items,
        BIAS: items,
        CATEGORIES: (old.categories + 1, new.categories + 1),
        USERS: (old.users + 1, new.users + 1),
    }
    return {name: rows for name, rows in tables.items() if rows[0] != rows[1]}


def grow_optimizer_state(state: dict[str, Any], old_rows: int, new_rows: int) -> dict[str, Any]:
    """One parameter's optimizer state for its longer table: per-row tensors keep the bits of old rows and are 0 for new ones.

    Everything without a row for each table row (step counters) is passed on as it is.
    """
    return {name: _longer(value, old_rows, new_rows) for name, value in state.items()}


def _longer(value: Any, old_rows: int, new_rows: int) -> Any:
    if not isinstance(value, Tensor) or value.dim() == 0 or value.shape[0] != old_rows:
        return value
    return torch.cat([value, value.new_zeros(new_rows - old_rows, *value.shape[1:])])


def _check(old: ItemShapes, new: ItemShapes) -> None:
    if new.items < old.items or new.categories < old.categories or new.users < old.users:
        raise DataContractError(
            f"the vocabulary went from {old.items} items, {old.categories} categories and {old.users} users to"
            f" {new.items}, {new.categories} and {new.users}",
            "a vocabulary must never shrink: run `nightrank full`",
        )
    for name in ("text_width", "numeric"):
        if getattr(old, name) != getattr(new, name):
            raise DataContractError(
                f"item input {name} went from {getattr(old, name)} to {getattr(new, name)}",
                "train a full run with the new features",
            )
    if old.features != new.features:
        raise DataContractError("the features of users or items have changed", "train a full run with the new features")
    if (old.categories == 0) != (new.categories == 0):
        raise DataContractError(
            f"item categories went from {old.categories} to {new.categories}", "train a full run with the new features"
        )


def _guessed(ranker: Ranker, grown: Ranker, ids_new: Tensor) -> Tensor:
    """[new, d] id embeddings of items that were not trained. Trained items are processed a few at a time."""
    trained_J, table_Id = _trained(ranker), ranker.get_parameter(IDS)
    total_d = sum(
        (table_Id[part].double().sum(0) for part in trained_J.split(ROWS)), start=torch.zeros((), dtype=torch.float64)
    )
    guess = (total_d / len(trained_J)).expand(len(ids_new), -1).clone()
    if grown.items.category_codes is not None:
        guess = _category_means(ranker, trained_J, grown.items.category_codes[ids_new], guess)
    if grown.items.text_matrix is not None:
        with_text, known_J = _having_text(grown, ids_new), trained_J[_having_text(ranker, trained_J)]
        if bool(with_text.any()) and len(known_J):
            ridge = fit_ridge(lambda: ((_features(ranker, part), table_Id[part]) for part in known_J.split(ROWS)), RIDGE)
            wanted = ids_new[with_text].split(ROWS)
            guess[with_text] = torch.cat([ridge(_features(grown, part)) for part in wanted])
    return guess.to(table_Id.dtype)


def _having_text(ranker: Ranker, ids: Tensor) -> Tensor:
    """[N] bool."""
    parts = [(ranker.items.text_matrix[part] != 0).any(1) for part in ids.split(ROWS)]
    return torch.cat(parts)


def _trained(ranker: Ranker) -> Tensor:
    """Ids with at least one training interaction; every id where nothing was counted."""
    counted = (ranker.items.popularity > 0).nonzero().flatten()
    return counted if len(counted) else torch.arange(1, ranker.shapes.items + 1, device=counted.device)


def _category_means(ranker: Ranker, trained_J: Tensor, codes_NC: Tensor, fallback_Nd: Tensor) -> Tensor:
    """For each new item the mean, over its categories that old items have, of those items' mean id embedding."""
    table_Id, known_IC = ranker.get_parameter(IDS), ranker.items.category_codes
    rows = max(int(known_IC.max()), int(codes_NC.max())) + 1
    sums = fallback_Nd.new_zeros(rows, table_Id.shape[1])
    counts = fallback_Nd.new_zeros(rows)
    for part in trained_J.split(ROWS):
        targets_nd = table_Id[part].double()
        for column in known_IC[part].T:
            sums.index_add_(0, column, targets_nd)
            counts.index_add_(0, column, torch.ones_like(column, dtype=counts.dtype))
    counts[0] = 0
    means = sums / counts.clamp_min(1).unsqueeze(1)
    usable_NC = (counts[codes_NC] > 0).double()
    total = (means[codes_NC] * usable_NC.unsqueeze(2)).sum(1)
    return torch.where(usable_NC.sum(1, keepdim=True) > 0, total / usable_NC.sum(1, keepdim=True).clamp_min(1), fallback_Nd)


def _features(ranker: Ranker, ids: Tensor) -> Tensor:
    """[N, F] text beside the mean embedding of the categories: dense, so that thousands of categories stay cheap."""
    parts = [ranker.items.text_matrix[ids]]
    if ranker.items.categories is not None:
        codes, table = ranker.items.category_codes[ids], ranker.get_parameter(CATEGORIES)
        parts.append(torch.nn.functional.embedding_bag(codes, table, mode="mean", padding_idx=0))
    return torch.cat(parts, 1)
