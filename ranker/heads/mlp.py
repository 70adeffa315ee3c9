"""A score by a perceptron over state and item, pair by pair."""

from torch import Tensor, nn
from torch.nn import functional

from nightrank.ranker.config.ranker import MlpConfig, RankerConfig
from nightrank.ranker.heads.pairs import PairHead


class MlpHead(PairHead):
    """s = out(gelu(user(u) + item(v))): a two-layer perceptron over (u, v) beside each other (He et al. 2017), its first layer
    taken once a state and once an item; with `product` user(u) . item(v) on top."""

    def __init__(self, config: RankerConfig) -> None:
        assert isinstance(config.head, MlpConfig)
        super().__init__(config.width, config.head.hidden)
        self.out = nn.Linear(config.head.hidden, 1)
        self.product = config.head.product

    def pair(self, users: Tensor, items: Tensor) -> Tensor:
        result: Tensor = self.out(functional.gelu(users + items)).squeeze(-1).float()
        return result + (users * items).sum(-1).float() if self.product else result

    def every(self, users_Sh: Tensor, items_Mh: Tensor) -> Tensor:
        """The product of all pairs is one of matrices."""
        hidden_SMh = functional.gelu(users_Sh[:, None, :] + items_Mh[None, :, :])
        result_SM: Tensor = self.out(hidden_SMh).squeeze(-1).float()
        return result_SM + (users_Sh @ items_Mh.T).float() if self.product else result_SM
