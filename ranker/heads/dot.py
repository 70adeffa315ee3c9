"""How a state and an item become a score. Both sides are mapped once, so that a score is always a plain dot product."""

from torch import Tensor, nn
from torch.nn import functional

from ranker.config import RankerConfig


class DotHead(nn.Module):  # type: ignore[misc]
    """s = u . v, or cos(u, v) / temperature with `normalise`. It has no weights."""

    def __init__(self, config: RankerConfig) -> None:
        super().__init__()
        self.normalise, self.temperature = config.head.normalise, config.head.temperature

    def user(self, states_Td: Tensor) -> Tensor:
        return functional.normalize(states_Td.float(), dim=1) / self.temperature if self.normalise else states_Td

    def item(self, vectors_Nd: Tensor) -> Tensor:
        """Zero vectors (padding) stay zero."""
        return functional.normalize(vectors_Nd.float(), dim=1) if self.normalise else vectors_Nd
