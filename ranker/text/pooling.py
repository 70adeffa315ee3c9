"""From the states of a text's tokens to one vector."""

from torch import Tensor


def mean_states(states_NLW: Tensor, mask_NL: Tensor) -> Tensor:
    """[N, W] fp32: the mean over the tokens that there are, as sentence-transformers pools MiniLM. Every row has one."""
    weight_NL1 = mask_NL.unsqueeze(2).float()
    return (states_NLW.float() * weight_NL1).sum(1) / weight_NL1.sum(1)
