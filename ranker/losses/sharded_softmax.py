"""Full softmax over a catalogue that ranks share out: each has the scores of its own items, log-sum-exp goes over ranks.

Shapes: S targets of this rank, A targets of all ranks, C targets of a chunk, L items held here, d width, N ranks.

Every rank holds the states of all targets against its own items. What travels: the states, two numbers a target and rank, and
the gradient of the states. No rank ever holds a score of another's item.
"""

from typing import Any, Protocol

import torch
from torch import Tensor

from nightrank.ranker.blocks.one_dnn import times_transposed
from nightrank.ranker.losses.full_softmax import LEAST_ROWS
from nightrank.ranker.tables.rows import Rows


class World(Protocol):
    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    def allreduce_sum(self, tensor: Tensor, lossy: bool = False) -> None: ...


def sharded_softmax(
    states_Sd: Tensor,
    targets_S: Tensor,
    weights_S: Tensor,
    columns_Ld: Tensor,
    bias_L: Tensor | None,
    rows: Rows,
    world: World,
    chunk_elements: int = 4_000_000,
) -> Tensor:
    """The weighted sum of this rank's losses, fp32, as `full_softmax` gives it: id 0 takes no probability.

    All ranks call it together, each with its own targets, perhaps none. The gradient of the columns is that of all ranks'
    targets, the gradient of the states that of all columns.
    """
    states_S1, mine = _of_all(torch.cat([states_Sd.float(), weights_S.unsqueeze(1)], 1), world)
    targets_A = _of_all(targets_S.unsqueeze(1), world)[0].squeeze(1)
    told = _Told(targets_A, states_S1[:, -1].detach(), mine, rows, world, chunk_elements)
    loss: Tensor = _ShardedSoftmax.apply(states_Sd, columns_Ld, bias_L, states_S1[:, :-1].detach(), told)  # type: ignore[no-untyped-call]
    return loss


class _Told:
    """What is known of all ranks' targets."""

    def __init__(self, targets_A: Tensor, weights_A: Tensor, mine: slice, rows: Rows, world: World, chunk: int) -> None:
        self.targets_A, self.weights_A, self.mine = targets_A, weights_A, mine
        self.rows, self.world, self.chunk = rows, world, chunk
        self.here_A, self.place_A = rows.mine(targets_A), rows.place(targets_A)

    def log_sums(self, logits_CL: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        """([C] log of the sum of exp over all ranks' items, [C] the targets' own logits)."""
        here_C = self.here_A[part]
        told_N2C = logits_CL.new_zeros(self.world.size, 2, len(logits_CL))
        told_N2C[self.world.rank, 0] = torch.logsumexp(logits_CL, 1) if logits_CL.shape[1] else float("-inf")
        told_N2C[self.world.rank, 1, here_C] = logits_CL[here_C, self.place_A[part][here_C]]
        self.world.allreduce_sum(told_N2C)
        return torch.logsumexp(told_N2C[:, 0], 0), told_N2C[:, 1].sum(0)


def _of_all(values_Sx: Tensor, world: World) -> tuple[Tensor, slice]:
    """All ranks' rows, that of rank 0 first, and which of them are this rank's."""
    counts = torch.zeros(world.size, dtype=torch.int64, device=values_Sx.device)
    counts[world.rank] = len(values_Sx)
    world.allreduce_sum(counts)
    ends = counts.cumsum(0).tolist()
    mine = slice(ends[world.rank] - len(values_Sx), ends[world.rank])
    every_Ax = values_Sx.new_zeros(ends[-1], values_Sx.shape[1]).detach()
    every_Ax[mine] = values_Sx.detach()
    if ends[-1]:
        world.allreduce_sum(every_Ax)
    return every_Ax, mine


class _ShardedSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, states_Sd: Tensor, columns_Ld: Tensor, bias_L: Tensor | None, states_Ad: Tensor, told: _Told
    ) -> Tensor:
        device = states_Ad.device.type
        kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states_Sd.dtype
        states, columns = states_Ad.to(kind), columns_Ld.to(kind)
        grad_states_Ad = torch.zeros_like(states_Ad)
        grad_columns_dL = columns.new_zeros(columns.shape[::-1], dtype=torch.float32)
        grad_bias_L = None if bias_L is None else torch.zeros_like(bias_L)
        losses_A = states_Ad.new_zeros(len(states_Ad))
        rows = max(LEAST_ROWS, told.chunk // max(1, len(columns)))
        with torch.autocast(device, enabled=False):
            for start in range(0, len(states), rows):
                part = slice(start, start + rows)
                logits_CL = times_transposed(states[part], columns).float()
                losses_A[part], share_CL = _residual(logits_CL, bias_L, part, told)
                residual = share_CL.to(kind)
                grad_states_Ad[part] = times_transposed(residual, columns.T).float()
                grad_columns_dL += times_transposed(states[part].T.contiguous(), residual.T)
                if grad_bias_L is not None:
                    grad_bias_L += share_CL.sum(0)
        if len(states):
            told.world.allreduce_sum(grad_states_Ad)
        ctx.save_for_backward(grad_states_Ad[told.mine].clone(), grad_columns_dL, grad_bias_L)
        ctx.kinds = (states_Sd.dtype, columns_Ld.dtype)
        return (losses_A * told.weights_A)[told.mine].sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None, None]:
        grad_states_Sd, grad_columns_dL, grad_bias_L = ctx.saved_tensors
        states_kind, columns_kind = ctx.kinds
        of_columns = (grad_columns_dL * grad).T.contiguous().to(columns_kind)
        of_bias = None if grad_bias_L is None else grad_bias_L * grad
        return (grad_states_Sd * grad).to(states_kind), of_columns, of_bias, None, None


def _residual(logits_CL: Tensor, bias_L: Tensor | None, part: slice, told: _Told) -> tuple[Tensor, Tensor]:
    """(losses [C], w (p - onehot) of the held items [C, L])."""
    if bias_L is not None:
        logits_CL = logits_CL + bias_L
    if told.rows.rank == 0 and logits_CL.shape[1]:
        logits_CL[:, 0] = float("-inf")
    log_sum_C, own_C = told.log_sums(logits_CL, part)
    weights_C, here_C = told.weights_A[part], told.here_A[part]
    share_CL = torch.exp(logits_CL - log_sum_C.unsqueeze(1)).mul_(weights_C.unsqueeze(1))
    share_CL[here_C, told.place_A[part][here_C]] -= weights_C[here_C]
    return log_sum_C - own_C, share_CL
