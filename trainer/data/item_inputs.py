"""What the snapshot knows of items, as tables by dense id: text vectors, category codes, numbers, counts; and raw ids."""

from collections.abc import Iterator
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, PartName
from nightrank.feature_store.contracts.storage import Location
from nightrank.ranker.inputs import ItemInputs, Tokens
from nightrank.trainer.data.conformance import check_part, part_of, pinned_paths
from nightrank.trainer.data.plan import Indices
from nightrank.trainer.data.rows import Array, offsets_of, token_index

TEXT_SCHEMA: Final = pa.schema([schemas.ITEM_EMBEDDINGS.field(name) for name in (c.ITEM, c.VECTOR)])
TOKENS_SCHEMA: Final = pa.schema([schemas.ITEM_EMBEDDINGS.field(name) for name in (c.ITEM, c.TOKENS)])
VOCABULARY_SCHEMA: Final = pa.schema([schemas.VOCABULARY.field(name) for name in (c.KIND, c.RAW_ID, c.DENSE_ID)])
REBUILD: Final = "build the training set again (stage build_training_set)"

Table = npt.NDArray[np.float32]


def load_item_inputs(snapshot: DatasetSnapshot, root: Location, with_tokens: bool = False) -> ItemInputs:
    """Everything a ranker reads of items 0..snapshot.items. An item the parts do not name has zeros. Popularity counts the
    events of the `train` part. DataContractError for an id twice or outside the vocabulary, or a list of the wrong width, and
    where tokens are asked for of a snapshot that was made without."""
    codes, numeric = _side_tables(snapshot, root)
    text = text_matrix(snapshot, root)
    return ItemInputs(
        items=snapshot.items,
        text=None if text is None else torch.from_numpy(text),
        category_codes=None if codes is None else torch.from_numpy(codes),
        categories=len(snapshot.normalisation.categories),
        numeric=None if numeric is None else torch.from_numpy(numeric),
        popularity=torch.from_numpy(item_counts(snapshot, root).astype(np.float32)),
        users=snapshot.users,
        tokens=token_table(snapshot, root) if with_tokens else None,
        features=snapshot.features,
    )


def text_matrix(snapshot: DatasetSnapshot, root: Location) -> Table | None:
    """[items + 1, text_width] float32, zeros where an item has no text; None for a snapshot without text."""
    if snapshot.text_width == 0:
        return None
    matrix = np.zeros((snapshot.items + 1, snapshot.text_width), np.float32)
    seen = np.zeros(snapshot.items + 1, np.bool_)
    for table in part_tables(snapshot, root, "item_embeddings", TEXT_SCHEMA):
        with_text = table.filter(pc.is_valid(table[c.VECTOR]))
        ids = _item_ids(with_text, snapshot, seen)
        matrix[ids] = _padded(with_text[c.VECTOR], snapshot.text_width, "text vector")
    return matrix


def token_table(snapshot: DatasetSnapshot, root: Location) -> Tokens:
    """The text tokens of items 0..snapshot.items, none where an item has no text."""
    if snapshot.text_width == 0:
        raise DataContractError("the snapshot has no item texts", "set text.encoder and build the training set again")
    seen = np.zeros(snapshot.items + 1, np.bool_)
    lengths = np.zeros(snapshot.items + 1, np.int64)
    parts: list[tuple[Indices, Array]] = []
    for table in part_tables(snapshot, root, "item_embeddings", TOKENS_SCHEMA):
        values, offsets = _flat(table[c.TOKENS])
        ids = _item_ids(table, snapshot, seen)
        lengths[ids] = np.diff(offsets)
        parts.append((ids, values))
    starts = offsets_of(lengths)
    flat = np.zeros(starts[-1], np.int32)
    for ids, values in parts:
        flat[token_index(starts[:-1][ids], lengths[ids])] = values
    return Tokens(torch.from_numpy(flat), torch.from_numpy(starts))


def item_counts(snapshot: DatasetSnapshot, root: Location, parts: tuple[PartName, ...] = ("train",)) -> Indices:
    """[items + 1] events of each item in the parts. Context repeated for a later chunk is not counted again,
    and a replayed row not at all: the champion has counted it. A part that the snapshot is without has no events."""
    counts = np.zeros(snapshot.items + 1, np.int64)
    wanted = pa.schema([schemas.EXAMPLES.field(name) for name in (c.LOSS_FROM, c.SOURCE, c.ITEMS)])
    for part in (name for name in parts if name in snapshot.parts):
        for rows in part_tables(snapshot, root, part, wanted):
            table = rows.filter(pc.not_equal(rows[c.SOURCE], "replay"))
            values, offsets = _flat(table[c.ITEMS])
            loss_from = table[c.LOSS_FROM].to_numpy().astype(np.int64)
            # A history's first event is never in the loss; its row is the one whose loss begins right after it.
            new_from = np.where(loss_from == 1, 0, loss_from)
            new = values[token_index(offsets[:-1] + new_from, np.diff(offsets) - new_from)]
            counts += np.bincount(new, minlength=len(counts))
    return counts


def load_vocabulary(snapshot: DatasetSnapshot, root: Location, kind: Literal["item", "user"] = "item") -> list[str]:
    """Raw ids in dense order: that of id i is at i - 1. DataContractError unless dense ids are exactly 1..count."""
    raw: list[pa.Array] = []
    dense: list[Array] = []
    for table in part_tables(snapshot, root, "vocabulary", VOCABULARY_SCHEMA):
        of_kind = table.filter(pc.equal(table[c.KIND], kind))
        raw.extend(of_kind[c.RAW_ID].chunks)
        dense.append(of_kind[c.DENSE_ID].to_numpy())
    ids = np.concatenate(dense) if dense else np.zeros(0, np.int64)
    order = np.argsort(ids, kind="stable")
    count = snapshot.items if kind == "item" else snapshot.users
    if not np.array_equal(ids[order], np.arange(1, count + 1)):
        raise DataContractError(f"the vocabulary's {len(ids)} {kind} ids are not exactly 1..{count}", REBUILD)
    result: list[str] = pa.chunked_array(raw, pa.string()).take(pa.array(order)).to_pylist()
    return result


def part_tables(snapshot: DatasetSnapshot, root: Location, name: PartName, schema: pa.Schema) -> Iterator[pa.Table]:
    """The part's row groups in file order, with the schema's columns; pinned files are checked first."""
    part = part_of(snapshot, name)
    check_part(part, root, schema)
    for path in pinned_paths(part, root):
        try:
            file = pq.ParquetFile(path)
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=schema.names)
        except (pa.ArrowException, OSError) as error:
            raise DataContractError(f"pinned file {path} is not readable: {error}", "restore it, or " + REBUILD) from None


def _side_tables(snapshot: DatasetSnapshot, root: Location) -> tuple[Indices | None, Table | None]:
    """Category codes [items + 1, slots] filled up with 0, and numbers [items + 1, numeric]; None where there are none."""
    width = len(snapshot.normalisation.numeric)
    numeric = np.zeros((snapshot.items + 1, width), np.float32) if width else None
    seen = np.zeros(snapshot.items + 1, np.bool_)
    ids_parts: list[Indices] = []
    lists: list[tuple[Array, Indices]] = []
    for table in part_tables(snapshot, root, "items", schemas.ITEM_INPUTS):
        ids = _item_ids(table, snapshot, seen)
        if numeric is not None:
            numeric[ids] = _padded(table[c.NUMERIC], width, "numeric inputs")
        ids_parts.append(ids)
        lists.append(_flat(table[c.CATEGORY_CODES]))
    codes = _codes(snapshot.items, ids_parts, lists) if snapshot.normalisation.categories else None
    return codes, numeric


def _codes(items: int, ids_parts: list[Indices], lists: list[tuple[Array, Indices]]) -> Indices:
    slots = max([1, *(int(np.diff(offsets).max(initial=0)) for _, offsets in lists)])
    codes = np.zeros((items + 1, slots), np.int64)
    for ids, (values, offsets) in zip(ids_parts, lists, strict=True):
        lengths = np.diff(offsets)
        place = token_index(np.zeros(len(ids), np.int64), lengths)
        codes[np.repeat(ids, lengths), place] = values
    return codes


def _item_ids(table: pa.Table, snapshot: DatasetSnapshot, seen: npt.NDArray[np.bool_]) -> Indices:
    ids: Indices = table[c.ITEM].to_numpy().astype(np.int64)
    if len(ids) and (ids.min() < 1 or ids.max() > snapshot.items):
        raise DataContractError(f"item inputs name ids {ids.min()}..{ids.max()} of 1..{snapshot.items}", REBUILD)
    if len(np.unique(ids)) != len(ids) or seen[ids].any():
        raise DataContractError("item inputs contain an id twice", REBUILD)
    seen[ids] = True
    return ids


def _flat(column: pa.ChunkedArray) -> tuple[Array, Indices]:
    """A list column as (values, offsets from 0); a null list is an empty one."""
    whole = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    lengths = pc.fill_null(pc.list_value_length(whole), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    return whole.flatten().to_numpy(zero_copy_only=False), offsets_of(lengths)


def _padded(column: pa.ChunkedArray, width: int, what: str) -> Table:
    values, offsets = _flat(column)
    lengths = np.diff(offsets)
    if (lengths != width).any():
        raise DataContractError(f"{what} have widths {sorted(set(lengths.tolist()))[:5]}, not {width}", REBUILD)
    if not np.isfinite(values).all():
        raise DataContractError(f"{what} hold NaN or infinite values", REBUILD)
    return values.reshape(-1, width).astype(np.float32)
