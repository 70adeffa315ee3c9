"""Growth on a handful of items, by hand: which tables become longer, what is guessed for new rows, what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.compose import compose
from nightrank.ranker.config.encoders import FactorsConfig
from nightrank.ranker.config.ranker import RankerConfig, TransformerConfig
from nightrank.ranker.growth import grow, grow_optimizer_state, grown_rows
from nightrank.ranker.inputs import ItemInputs, ItemShapes
from tests.text_models import text_inputs, tiny_bert

CONFIG = RankerConfig(width=8, encoder=TransformerConfig(max_length=8, blocks=1))
FACTORS = RankerConfig(width=8, encoder=FactorsConfig())


def ranker_of(known, embeddings, config=CONFIG):
    """A ranker whose items 1, 2, ... have id embeddings of one number each."""
    ranker = compose(config, known, seed=1)
    with torch.no_grad():
        ranker.items.ids.weight[1:] = torch.tensor(embeddings).view(-1, 1)
    return ranker


def guessed(ranker, more):
    """The new items' id embeddings, one number each."""
    table = grow(ranker, more).items.ids.weight[ranker.shapes.items + 1 :].detach()
    assert torch.allclose(table, table[:, :1])
    return table[:, 0].tolist()


def test_the_longer_tables_are_named_with_their_rows():
    shapes = ItemShapes(items=10, categories=2, users=5)
    assert grown_rows(shapes, shapes) == {}
    assert grown_rows(shapes, replace(shapes, users=7)) == {"encoder.users.weight": (6, 8)}
    assert grown_rows(shapes, replace(shapes, categories=4)) == {"items.categories.weight": (3, 5)}
    assert grown_rows(shapes, replace(shapes, items=11)) == {"items.ids.weight": (11, 12), "items.bias": (11, 12)}


BASE = {
    "items": 6,
    "categories": 3,
    "category_codes": torch.ones(7, 1, dtype=torch.int64),
    "users": 4,
    "numeric": torch.ones(7, 2),
}


@pytest.mark.parametrize(
    ("fewer", "message"),
    [
        ({"users": 3}, "from 6 items, 3 categories and 4 users to 6, 3 and 3"),
        ({"categories": 2}, "from 6 items, 3 categories and 4 users to 6, 2 and 4"),
        ({"numeric": torch.ones(7, 3)}, "item input numeric went from 2 to 3"),
        ({"text": torch.ones(7, 5)}, "item input text_width went from 0 to 5"),
        ({"categories": 0, "category_codes": None}, "from 6 items, 3 categories and 4 users to 6, 0 and 4"),
    ],
)
def test_a_vocabulary_that_shrank_or_another_width_is_refused(fewer, message):
    with pytest.raises(DataContractError, match=message):
        grow(compose(FACTORS, ItemInputs(**BASE), seed=1), ItemInputs(**(BASE | fewer)))


def test_categories_that_a_ranker_never_had_are_refused():
    without = ItemInputs(**(BASE | {"categories": 0, "category_codes": None}))
    with pytest.raises(DataContractError, match="item categories went from 0 to 3"):
        grow(compose(FACTORS, without, seed=1), ItemInputs(**BASE))


@pytest.mark.parametrize(("users", "mean"), [(0, 0.0), (1, 5.0), (2, 5.5)])
def test_new_users_begin_at_the_mean_of_all_and_the_first_at_nothing(users, mean):
    ranker = compose(FACTORS, ItemInputs(3, users=users), seed=1).train()
    with torch.no_grad():
        ranker.get_parameter("encoder.users.weight")[:] = torch.tensor([99.0, 5.0, 6.0][: users + 1]).view(-1, 1)
    grown = grow(ranker, ItemInputs(3, users=users + 2))
    assert torch.equal(grown.get_parameter("encoder.users.weight")[users + 1 :], torch.full((2, 8), mean))
    assert grown.training


def categories_of(*codes):
    return torch.tensor([[0, 0], *codes])


OLD_CODES, NEW_CODES = ([1, 0], [1, 2], [2, 0], [0, 0]), ([1, 2], [2, 3], [3, 0], [0, 0])


@pytest.mark.parametrize(
    ("popularity", "wanted"),
    [([0, 1, 1, 1, 1], [22.5, 30.0, 37.5, 37.5]), ([0, 7, 1, 0, 1], [17.5, 20.0, 110 / 3, 110 / 3])],
    ids=["all trained", "item 3 was never trained"],
)
def test_the_mean_over_a_new_items_categories_of_their_trained_items_means(popularity, wanted):
    """Embeddings 10, 20, 40, 80; category 1 has items 1 and 2, category 2 has 2 and 3, category 3 none that is old."""
    counted = torch.tensor(popularity)
    known = ItemInputs(4, category_codes=categories_of(*OLD_CODES), categories=2, popularity=counted)
    more = ItemInputs(8, category_codes=categories_of(*OLD_CODES, *NEW_CODES), categories=3, popularity=torch.zeros(9))
    assert guessed(ranker_of(known, [10.0, 20.0, 40.0, 80.0]), more) == pytest.approx(wanted)


def test_new_items_may_have_fewer_categories_than_the_old():
    known = ItemInputs(4, category_codes=categories_of(*OLD_CODES), categories=2)
    more = ItemInputs(5, category_codes=categories_of(*OLD_CODES, [1, 0]), categories=2)
    assert guessed(ranker_of(known, [10.0, 20.0, 40.0, 80.0]), more) == [15.0]


def test_texts_say_nothing_where_no_old_item_has_one():
    known, more = ItemInputs(2, text=torch.zeros(3, 3)), ItemInputs(3, text=torch.tensor([[0.0] * 3] * 3 + [[1.0] * 3]))
    assert guessed(ranker_of(known, [10.0, 20.0]), more) == [15.0]


def test_the_map_of_texts_is_ridge_regression_on_trained_items_that_have_a_text():
    """By the textbook: standardised features, a penalty of 0.1 a row, the intercept the mean of the targets."""
    random = np.random.default_rng(3)
    text, targets = random.normal(size=(43, 3)), random.normal(size=40)
    text[[0, 5, 42]] = 0  # no text: padding, an old item, a new one
    text[7] = [0, 0, -2]
    known_rows = np.setdiff1d(np.arange(1, 41), [5, 9])
    popularity = torch.ones(41)
    popularity[9] = 0
    targets[[4, 8]] = 1000  # items 5 and 9
    known = ItemInputs(40, text=torch.from_numpy(text[:41]).float(), popularity=popularity)
    more = ItemInputs(42, text=torch.from_numpy(text).float(), popularity=torch.zeros(43))
    x, y = text[known_rows], targets[known_rows - 1]
    mean, scale = x.mean(0), x.std(0)
    z = (x - mean) / scale
    weights = np.linalg.solve(z.T @ z + 0.1 * len(z) * np.eye(3), z.T @ (y - y.mean()))
    by_text = (text[41] - mean) / scale @ weights + y.mean()
    trained = np.delete(targets, 8)
    assert guessed(ranker_of(known, targets.tolist()), more) == pytest.approx([by_text, trained.mean()], rel=1e-4)


def test_categories_stand_beside_the_text_in_the_ridge_map():
    """By the textbook again, over the text and the mean embedding of an item's categories, code 0 left out."""
    random = np.random.default_rng(5)
    text, targets = random.normal(size=(33, 2)), random.normal(size=31)
    text[0] = 0
    codes = [[0, 0], *([[1, 0], [2, 1], [2, 0]] * 11)][:33]
    known = ItemInputs(31, text=torch.from_numpy(text[:32]).float(), category_codes=torch.tensor(codes[:32]), categories=2)
    more = ItemInputs(32, text=torch.from_numpy(text).float(), category_codes=torch.tensor(codes), categories=2)
    ranker = ranker_of(known, targets.tolist())
    table = ranker.items.categories.weight.detach().double().numpy()
    means = np.array([np.mean([table[code] for code in row if code], axis=0) if any(row) else table[0] * 0 for row in codes])
    features = np.concatenate([text, means], axis=1)
    x, mean, scale = features[1:32], features[1:32].mean(0), features[1:32].std(0)
    z = (x - mean) / scale
    weights = np.linalg.solve(z.T @ z + 0.1 * len(z) * np.eye(z.shape[1]), z.T @ (targets - targets.mean()))
    wanted = (features[32] - mean) / scale @ weights + targets.mean()
    assert guessed(ranker, more) == pytest.approx([wanted], rel=1e-4)


def test_optimizer_state_without_a_row_for_each_row_is_passed_on():
    state = {"step": torch.tensor(4.0), "exp_avg": torch.ones(4, 2), "factored": torch.ones(3), "name": "adam"}
    longer = grow_optimizer_state(state, 4, 6)
    assert longer["exp_avg"].tolist() == [[1, 1]] * 4 + [[0, 0]] * 2
    assert all(longer[name] is state[name] for name in ("step", "factored", "name"))


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return tiny_bert(tmp_path_factory.mktemp("bert"))


def test_a_tuned_text_encoder_goes_on_and_encodes_new_items(bert):
    tuned = {"name": "lora", "rank": 2, "items_per_step": 4}
    config = RankerConfig(width=8, item={"text": tuned}, encoder=TransformerConfig(max_length=8, blocks=1))
    known, more = text_inputs(bert, 12, 0), text_inputs(bert, 16, 0)
    ranker = compose(config, known, seed=1, text_encoder=bert)
    with torch.no_grad():
        for parameter in ranker.items.text_tower.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        ranker.items.text_matrix[1:] += 1
    grown = grow(ranker, more)
    tower = grown.items.text_tower
    assert tower.model is ranker.items.text_tower.model and tower.tuning == ranker.items.text_tower.tuning
    assert torch.equal(grown.items.text_matrix[:13], ranker.items.text_matrix)
    new = [item for item in range(13, 17) if tower.lengths[item]]
    assert 0 < len(new) < 4
    torch.testing.assert_close(grown.items.text_matrix[new], tower.without_gradient(torch.tensor(new)))
    assert not torch.allclose(grown.items.text_matrix[new], more.text[new])
    assert not grown.items.text_matrix[[item for item in range(13, 17) if item not in new]].any()
    with pytest.raises(DataContractError, match="the inputs hold no tokens"):
        grow(ranker, replace(more, tokens=None))
