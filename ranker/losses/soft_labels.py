"""Soft labels: what a frozen ranker, the teacher, thinks of the items that some rows' targets are held against.

Shapes: T input tokens, B rows, S targets, R targets with soft labels, M negatives, d width.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from nightrank.ranker.config.ranker import LossConfig
from nightrank.ranker.losses.candidates import by_member, scores_of
from nightrank.ranker.losses.divergence import Side, full_divergence, sampled_divergence
from nightrank.ranker.losses.sampled import Scores
from nightrank.ranker.losses.sampling import NegativeSampler
from nightrank.ranker.model import Ranker
from nightrank.ranker.targets import Targets


@dataclass(frozen=True)
class SoftLabels:
    """Adds `weight` times the divergence from the teacher to the loss of the users' rows; other rows cost nothing."""

    teacher: Ranker
    """In evaluation mode, of the same configuration as the ranker that learns."""
    items: int
    """It knows the ids 1..items."""
    users: Tensor
    """Ids of the users whose rows have soft labels."""
    weight: float
    temperature: float

    def of_sample(
        self, members: list[Scores], targets: Targets, negatives_M: Tensor, log_q_M: Tensor, sampler: NegativeSampler
    ) -> Tensor | None:
        """Weighted sum over targets, the mean of members; `members` are the learning ranker's scores of the same negatives.
        None where no target has soft labels."""
        index_R, covered = self.covered(targets)
        if len(index_R) == 0:
            return None
        with torch.no_grad():
            taught = scores_of(self.teacher, covered, negatives_M, log_q_M, sampler)
        known_M = negatives_M <= self.items
        own = [Scores(s.positive_S[index_R], s.negative_SM[index_R], s.log_q_M) for s in members]
        pairs = zip(own, taught, strict=True)
        losses_R = torch.stack([sampled_divergence(*pair, known_M, self.temperature) for pair in pairs]).mean(0)
        return self.weight * (losses_R * covered.weight_S.float()).sum()

    def of_catalogue(
        self, ranker: Ranker, targets: Targets, sides: list[tuple[Tensor, ...]], config: LossConfig
    ) -> Tensor | None:
        """The same over every item the teacher knows; `sides` are (states [S, d], items [I + 1, d]) of each member."""
        index_R, covered = self.covered(targets)
        if len(index_R) == 0:
            return None
        teacher = self.teacher
        with torch.no_grad():
            states_Rd = teacher.user_states(covered.inputs, self._inputs_Id).index_select(0, covered.state_S)
            taught = by_member(teacher, states_Rd, teacher.head.item(self._inputs_Id))
        losses = [
            full_divergence(
                Side(states_Sd[index_R], table_Id, ranker.items.bias),
                Side(teacher_Rd, known_Id, teacher.items.bias),
                covered.weight_S,
                self.items,
                self.temperature,
                config.chunk_elements,
            )
            for (states_Sd, table_Id), (teacher_Rd, known_Id) in zip(sides, taught, strict=True)
        ]
        return self.weight * torch.stack(losses).mean()

    def covered(self, targets: Targets) -> tuple[Tensor, Targets]:
        """Which targets have soft labels, and what the teacher is asked: the rows of these users alone. A target without a
        token before it, or of an item the teacher does not know, has none."""
        inputs = targets.inputs
        if inputs.tokens == 0:
            return targets.state_S[:0], targets
        mine_B = torch.isin(inputs.users_B, self.users)
        mine_T = mine_B[inputs.row_T]
        before_S = targets.state_S.clamp_max(inputs.tokens - 1)
        covered_S = mine_T[before_S] & (targets.state_S < inputs.tokens) & (targets.item_S <= self.items)
        index_R = covered_S.nonzero().flatten()
        place_T = mine_T.cumsum(0) - 1
        rows = inputs.rows_where(mine_B)
        return index_R, Targets(rows, place_T[before_S[index_R]], targets.item_S[index_R], targets.weight_S[index_R])

    @cached_property
    def _inputs_Id(self) -> Tensor:
        """The teacher does not change, nor do its items."""
        return self.teacher.all_input_vectors()
