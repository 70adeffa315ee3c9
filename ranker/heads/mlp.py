"""A score by a perceptron over state and item, pair by pair."""

from torch import Tensor, nn
from torch.nn import functional

from ranker.config import MlpConfig, RankerConfig
from ranker.heads.pairs import PairHead


class MlpHead(PairHead):
    """s = out(gelu(user(u) + item(v))): a two-layer perceptron over (u, v) beside each other (He et al. 2017), its first layer
    taken once a state and once an item."""

    def __init__(self, config: RankerConfig) -> None:
        assert isinstance(config.head, MlpConfig)
        super().__init__(config.width, config.head.hidden)
        self.out = nn.Linear(config.head.hidden, 1)

    def pair(self, users: Tensor, items: Tensor) -> Tensor:
        result: Tensor = self.out(functional.gelu(users + items)).squeeze(-1).float()
        return result
