"""Several rankers in one: it scores the mean of what its parts score alone, and trains each of them as if it were alone."""

import pytest
import torch

from nightrank.feature_store.contracts.config import validate
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.ranker.batch import Batch
from nightrank.ranker.compose import compose
from nightrank.ranker.config.ranker import LossConfig, RankerConfig
from nightrank.ranker.inputs import ItemInputs
from nightrank.ranker.losses.training import training_loss

ITEMS, WIDTH, MEMBERS = 20, 8, 3
ENCODERS = {"transformer": {"first_items": True}, "gru": {}, "bert4rec": {}, "causal_lm": {"heads": 2}}
LOSSES = [
    LossConfig(name="full_softmax"),
    LossConfig(name="sampled_softmax", negatives=12),
    LossConfig(name="sampled_softmax", sampling="in_batch"),
    LossConfig(name="gbce", negatives=12, sampling="uniform"),
]


def inputs():
    text = torch.randn(ITEMS + 1, 5, generator=torch.Generator().manual_seed(0))
    return ItemInputs(ITEMS, text=text, popularity=torch.arange(ITEMS + 1))


def config(name, members, **item):
    encoder = {"name": name, "max_length": 10, "dropout": 0.0, **ENCODERS[name]}
    head = {"name": "dot", "item_bias": True, "item_bias_served": 0.5}
    tree = {
        "width": WIDTH * members,
        "ensemble_size": members,
        "encoder": encoder,
        "head": head,
        "item": {"input_norm": True, **item},
    }
    return validate(RankerConfig, tree)


def together_and_alone(name):
    """An ensemble, and each of its parts as a ranker of its own with the same weights."""
    whole = compose(config(name, MEMBERS), inputs(), seed=1)
    weights, parts = whole.state_dict(), []
    for member in range(MEMBERS):
        columns, prefix = slice(member * WIDTH, (member + 1) * WIDTH), f"encoder.members.{member}."
        mine = {f"encoder.{key.removeprefix(prefix)}": value for key, value in weights.items() if key.startswith(prefix)}
        mine |= {"items.ids.weight": weights["items.ids.weight"][:, columns], "items.bias": weights["items.bias"]}
        mine |= {"items.text.weight": weights["items.text.weight"][columns]}
        part = compose(config(name, 1), inputs(), seed=2)
        part.load_state_dict(mine)
        parts.append(part)
    return whole, parts


def histories():
    return Batch.from_lists([[1, 2, 3, 4], [5], [9, 8, 20, 11, 2, 3], [7, 7]])


@pytest.mark.parametrize("name", ENCODERS)
def test_its_score_is_the_mean_of_its_members_scores(name):
    whole, parts = together_and_alone(name)
    batch = histories()
    scores = [model.eval().user_vectors(batch) @ model.all_item_vectors().T for model in (whole, *parts)]
    torch.testing.assert_close(scores[0], torch.stack(scores[1:]).mean(0), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(scores[1], scores[2], atol=1e-3)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: f"{loss.name}-{loss.sampling}")
@pytest.mark.parametrize("name", sorted(set(ENCODERS) - {"bert4rec"}))
def test_each_member_gets_the_gradient_of_its_own_loss(name, loss):
    whole, parts = together_and_alone(name)
    total, weight = training_loss(whole, histories(), loss, torch.Generator().manual_seed(4))
    (total / weight).backward()
    alone = []
    for part in parts:
        loss_of_part, weight_of_part = training_loss(part, histories(), loss, torch.Generator().manual_seed(4))
        (loss_of_part / weight_of_part).backward()
        alone.append((loss_of_part / weight_of_part).item())
    assert (total / weight).item() == pytest.approx(sum(alone) / MEMBERS, rel=1e-5)
    for member, part in enumerate(parts):
        columns = slice(member * WIDTH, (member + 1) * WIDTH)
        got = whole.items.ids.weight.grad[:, columns]
        torch.testing.assert_close(got, part.items.ids.weight.grad / MEMBERS, atol=1e-6, rtol=1e-4)
        for key, parameter in part.encoder.named_parameters():
            mine = whole.encoder.get_parameter(f"members.{member}.{key}").grad
            torch.testing.assert_close(mine, parameter.grad / MEMBERS, atol=1e-6, rtol=1e-4, msg=key)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 20}, "width 20 is not a multiple of encoder.heads 2 times ensemble_size 3"),
        ({"head": {"name": "mlp"}}, "ensemble_size 3 needs the head dot"),
        ({"head": {"name": "dot", "normalise": True}}, "ensemble_size 3 needs the head dot without normalise"),
        ({"encoder": {"name": "mf"}}, "not mf"),
    ],
)
def test_what_cannot_be_a_mean_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        validate(RankerConfig, {"width": 24, "ensemble_size": 3, **changes})
