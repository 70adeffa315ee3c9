"""The item encoder: one vector an item, from its id, its text and its side features.

Shapes: N ids asked for, I1 = items + 1, W text width, C category slots, F numeric features, d width.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from nightrank.ranker.blocks.dropout import Dropout
from nightrank.ranker.blocks.perceptron import Perceptron
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.ranker.inputs import ItemInputs, ItemShapes
from nightrank.ranker.tables.row_table import NewTable, RowTable, Table
from nightrank.ranker.text.tower import TextTower


class ItemEncoder(nn.Module):
    """v_i = g_i id_i + A text_i + mean(category embeddings of i) + B numeric_i, the parts that config and data both have; g_i
    is 1, or after training grows with the item's events (`id_shrinkage`). With a tower a perceptron over that sum, which is
    its first layer over the parts beside each other.

    What the data says of an item is in buffers that are not part of the weights: they come from the snapshot. Text vectors
    of a tuned encoder are part of them: they are the encoder's at the end of the last epoch.
    """

    text_matrix: Tensor
    category_codes: Tensor
    numeric_matrix: Tensor
    popularity: Tensor

    def __init__(self, config: RankerConfig, shapes: ItemShapes, table: NewTable = nn.Embedding) -> None:
        super().__init__()
        item, width = config.item, config.width
        self.items, self.width = shapes.items, width
        self.id_dropout, self.id_shrinkage = item.id_dropout, item.id_shrinkage
        rows = shapes.items + 1
        self.ids = table(rows, width) if item.use_id else None
        self.text = nn.Linear(shapes.text_width, width, bias=False) if item.use_text and shapes.text_width else None
        with_categories = item.use_categories and shapes.categories > 0
        self.categories = nn.Embedding(shapes.categories + 1, width) if with_categories else None
        self.numeric = nn.Linear(shapes.numeric, width, bias=False) if item.use_numeric and shapes.numeric else None
        self.bias = nn.Parameter(torch.empty(rows)) if config.head.item_bias else None
        self.tower = Perceptron(width, item.tower, width, 0.0) if item.tower else None
        self.dropout = Dropout(item.dropout)
        self.text_tower: TextTower | None = None
        """The encoder itself, where it is trained; put there by whoever composes a ranker for training."""
        self._fresh: tuple[Tensor, Tensor] | None = None
        text = torch.empty(rows, shapes.text_width) if self.text else None
        self._buffer("text_matrix", text, persistent=item.text.tunes)
        codes = torch.empty(rows, shapes.category_slots, dtype=torch.int64) if self.categories else None
        self._buffer("category_codes", codes)
        self._buffer("numeric_matrix", torch.empty(rows, shapes.numeric) if self.numeric else None)
        self._buffer("popularity", torch.empty(rows))

    def _buffer(self, name: str, value: Tensor | None, persistent: bool = False) -> None:
        self.register_buffer(name, value, persistent=persistent)

    def fill(self, inputs: ItemInputs) -> None:
        """The buffers hold the inputs, row 0 zeros. Where device, type and row 0 are so already they are the inputs' own
        tensors, so that a catalogue stands in memory once. Texts of a tuned encoder change, and are a copy."""
        for name, table in (
            ("text_matrix", inputs.text),
            ("category_codes", inputs.category_codes),
            ("numeric_matrix", inputs.numeric),
            ("popularity", inputs.popularity_or_ones()),
        ):
            buffer = getattr(self, name)
            if buffer is None or table is None:
                continue
            if name in self._non_persistent_buffers_set and _fits(table, buffer):
                setattr(self, name, table)
            else:
                buffer.copy_(table)
                buffer[0] = 0

    def init_bias(self) -> None:
        """Each item's bias is the log of its share of the counted events, against the mean item; what was never counted stands
        as if counted once."""
        if self.bias is not None:
            logs_I = self.popularity.float().clamp_min(1.0).log()
            self.bias.copy_(logs_I - logs_I[1:].mean())
            self.bias[0] = 0

    def content(self, ids_N: Tensor) -> Tensor | None:
        """[N, d] of text and side features alone; None where the ranker has neither."""
        parts = []
        if self.text is not None:
            parts.append(self.text(self._texts(ids_N)))
        if self.categories is not None:
            codes = self.category_codes.index_select(0, ids_N)
            parts.append(functional.embedding_bag(codes, self.categories.weight, mode="mean", padding_idx=0))
        if self.numeric is not None:
            parts.append(self.numeric(self.numeric_matrix.index_select(0, ids_N)))
        total: Tensor | None = None
        for part in parts:
            total = part.float() if total is None else total + part.float()
        return total

    @contextmanager
    def renewed(self, items_T: Tensor) -> Iterator[None]:
        """Within it some of the named items' texts are encoded again, with a gradient; nothing happens without an encoder to
        train."""
        if self.text_tower is not None and self.text is not None and self.training:
            ids_F = self.text_tower.chosen(items_T)
            self._fresh = (ids_F, self.text_tower(ids_F)) if len(ids_F) else None
        try:
            yield
        finally:
            self._fresh = None

    def _texts(self, ids_N: Tensor) -> Tensor:
        """[N, W]: cached text vectors, and the fresh ones where there are such."""
        cached_NW: Tensor = self.text_matrix.index_select(0, ids_N)
        if self._fresh is None:
            return cached_NW
        ids_F, vectors_FW = self._fresh
        place_N = torch.searchsorted(ids_F, ids_N).clamp_max(len(ids_F) - 1)
        fresh_M = (ids_F[place_N] == ids_N).nonzero().flatten()
        return cached_NW.index_copy(0, fresh_M, vectors_FW.index_select(0, place_N[fresh_M]))

    def forward(self, ids_N: Tensor) -> Tensor:
        """[N, d] fp32; id 0 gives zeros."""
        sum_Nd = self._sum(ids_N)
        if self.tower is not None:
            sum_Nd = self.tower(functional.gelu(sum_Nd)).float()
        result: Tensor = self.dropout(sum_Nd) * (ids_N > 0).unsqueeze(1)
        return result

    def _sum(self, ids_N: Tensor) -> Tensor:
        content_Nd = self.content(ids_N)
        if self.ids is None:
            return torch.zeros(len(ids_N), self.width, device=ids_N.device) if content_Nd is None else content_Nd
        id_Nd = rows_of(self.ids, ids_N)
        if content_Nd is None:
            return id_Nd
        if not self.training and self.id_shrinkage > 0:
            events_N = self.popularity.index_select(0, ids_N)
            id_Nd = id_Nd * (events_N / (events_N + self.id_shrinkage)).unsqueeze(1)
        if self.training and self.id_dropout > 0:
            id_Nd = id_Nd * (torch.rand(len(ids_N), 1, device=id_Nd.device) >= self.id_dropout)
        return id_Nd + content_Nd


def _fits(table: Tensor, buffer: Tensor) -> bool:
    same = (table.shape, table.dtype, table.device) == (buffer.shape, buffer.dtype, buffer.device)
    return same and not bool(table[0].any())


def rows_of(table: Table, ids_N: Tensor) -> Tensor:
    """[N, d]."""
    result: Tensor = table(ids_N) if isinstance(table, RowTable) else look_up(table.weight, ids_N)
    return result


def look_up(table_Id: Tensor, ids_N: Tensor) -> Tensor:
    """[N, d]. Where a dense gradient stands already, as in the trainer, and few rows are asked for, only their rows are added
    to it: a gradient of the whole table for each step costs more than the step's products."""
    dense = table_Id.grad is not None and not table_Id.grad.is_sparse
    few = 4 * len(ids_N) < len(table_Id)
    result: Tensor = functional.embedding(ids_N, table_Id, sparse=dense and few)
    return result
