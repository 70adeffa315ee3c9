"""A score by a transformer block over state and item, pair by pair.

Shapes: h hidden; a leading ... is [S] for pairs, or [S, 1] against [1, M].
"""

import math

from torch import Tensor, nn
from torch.nn import functional

from nightrank.ranker.config.ranker import RankerConfig, TransformerHeadConfig
from nightrank.ranker.heads.pairs import PairHead


class TransformerHead(PairHead):
    """The sequence (state, item) through one pre-norm block with one attention head, read at the item.

    Only the item's place is computed: its attention is over two tokens, so the softmax is a sigmoid of the difference of two
    products. Keys and values of a state are taken once a state, queries, keys and values of an item once an item.
    """

    def __init__(self, config: RankerConfig) -> None:
        head = config.head
        assert isinstance(head, TransformerHeadConfig)
        super().__init__(config.width, head.hidden)
        hidden = head.hidden
        self.values_a_pair = 2 + head.expansion
        self.norm = nn.LayerNorm(hidden)
        self.query_of = nn.Linear(hidden, hidden)
        self.key_of = nn.Linear(hidden, hidden)
        self.value_of = nn.Linear(hidden, hidden)
        self.mixed = nn.Linear(hidden, hidden)
        self.inner_norm = nn.LayerNorm(hidden)
        self.up = nn.Linear(hidden, head.expansion * hidden)
        self.down = nn.Linear(head.expansion * hidden, hidden)
        self.out_norm = nn.LayerNorm(hidden)
        self.out = nn.Linear(hidden, 1)

    def pair(self, users: Tensor, items: Tensor) -> Tensor:
        user, item = self.norm(users), self.norm(items)
        query, own = self.query_of(item), self.value_of(item)
        towards_user = (query * self.key_of(user)).sum(-1, keepdim=True)
        towards_item = (query * self.key_of(item)).sum(-1, keepdim=True)
        share = ((towards_user - towards_item) / math.sqrt(self.width)).sigmoid()
        x = items + self.mixed(own + share * (self.value_of(user) - own))
        x = x + self.down(functional.gelu(self.up(self.inner_norm(x))))
        result: Tensor = self.out(self.out_norm(x)).squeeze(-1).float()
        return result
