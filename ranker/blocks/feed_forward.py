"""Token-wise layers of a transformer block."""

from torch import Tensor, nn
from torch.nn import functional

from nightrank.ranker.blocks.dropout import Dropout


class FeedForward(nn.Module):
    """Two linear layers with GELU between."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.inner = nn.Linear(width, hidden)
        self.outer = nn.Linear(hidden, width)
        self.dropout = Dropout(dropout)

    def forward(self, x_Td: Tensor) -> Tensor:
        result: Tensor = self.outer(self.dropout(functional.gelu(self.inner(x_Td))))
        return result


class SwiGlu(nn.Module):
    """outer(silu(gate(x)) * inner(x)) (Shazeer 2020)."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.gate_inner = nn.Linear(width, 2 * hidden)
        self.outer = nn.Linear(hidden, width)
        self.dropout = Dropout(dropout)

    def forward(self, x_Td: Tensor) -> Tensor:
        gate, inner = self.gate_inner(x_Td).chunk(2, dim=1)
        result: Tensor = self.outer(self.dropout(functional.silu(gate) * inner))
        return result
