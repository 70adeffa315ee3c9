"""How a state and an item become a score. Both sides are mapped once, so that a score is always a plain dot product."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nightrank.ranker.config.ranker import DotConfig, RankerConfig


class DotHead(nn.Module):
    """s = u . v, or cos(u, v) / temperature with `normalise`; with `item_bias` a share of the item's bias on top.

    It has no weights. Of several members it is the mean of their scores. What is served carries the bias as one more column,
    against a 1 in the user's vector.
    """

    def __init__(self, config: RankerConfig) -> None:
        super().__init__()
        assert isinstance(config.head, DotConfig)
        self.normalise, self.temperature = config.head.normalise, config.head.temperature
        self.width = config.width + config.head.item_bias
        """Columns of `query` and `catalogue`."""
        self.keeps_inputs = not config.head.normalise
        """The first d columns of `catalogue` are the item vectors as the encoder reads them."""
        self.members = config.ensemble_size
        self.biased, self.served = config.head.item_bias, config.head.item_bias_served

    def user(self, states_Td: Tensor) -> Tensor:
        return functional.normalize(states_Td.float(), dim=1) / self.temperature if self.normalise else states_Td

    def item(self, vectors_Nd: Tensor) -> Tensor:
        """Zero vectors (padding) stay zero."""
        return functional.normalize(vectors_Nd.float(), dim=1) if self.normalise else vectors_Nd

    def own(self, users_Sd: Tensor, items_Sd: Tensor) -> Tensor:
        """[S] fp32: each state with its own item, both as `user` and `item` give them, without a bias."""
        return (users_Sd.float() * items_Sd.float()).sum(1)

    def every(self, users_Sd: Tensor, items_Md: Tensor) -> Tensor:
        """[S, M] fp32: each state with every item; the product follows autocast."""
        return (users_Sd @ items_Md.T.to(users_Sd.dtype)).float()

    def query(self, states_Td: Tensor) -> Tensor:
        """[T, d] of `user` as they are held against `catalogue`: [T, d + 1] with an item bias."""
        vectors_Td = self.user(states_Td)
        vectors_Td = vectors_Td / self.members if self.members > 1 else vectors_Td
        return torch.cat([vectors_Td, vectors_Td.new_ones(len(vectors_Td), 1)], dim=1) if self.biased else vectors_Td

    def catalogue(self, vectors_Nd: Tensor, bias_N: Tensor | None) -> Tensor:
        """[N, d] of `item`, with an item bias [N, d + 1]."""
        vectors_Nd = self.item(vectors_Nd)
        return vectors_Nd if bias_N is None else torch.cat([vectors_Nd, self.served * bias_N.unsqueeze(1)], dim=1)
