"""Lists are the same whatever product they begin with, for vectors of every kind."""

import numpy as np
import pytest
import torch

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.retrieval import tiles, topk
from nightrank.ranker.retrieval.chunks import block_lists
from nightrank.ranker.retrieval.exact import exact_scores
from nightrank.ranker.retrieval.plan import Plan
from nightrank.ranker.retrieval.topk import exact_topk
from tests.unit.test_topk import PRODUCTS, brute_force, exclusions


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("width", [1, 31, 64, 100, 256])
def test_every_product_gives_the_same_lists_to_the_last_bit(product, width):
    torch.manual_seed(width)
    users, items = torch.randn(70, width), torch.randn(9000, width) * torch.rand(9000, 1)
    excluded = exclusions(np.random.default_rng(width), 70, 400)
    expected = brute_force(users, items, 12, excluded)
    ids, scores = exact_topk(users, items, 12, excluded, plan=Plan(product, item_rows=5000, tile_rows=5000))
    np.testing.assert_array_equal(ids.numpy(), expected[0])
    assert torch.equal(scores, exact_scores(users, items[ids]))


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e-18, 1e15, 1e18])
def test_lists_of_very_short_and_very_long_vectors_are_exact(product, scale):
    """Squares, products and sums may underflow or overflow on the way; equal scores are in order of the id."""
    torch.manual_seed(3)
    users, items = torch.randn(5, 24) * scale, torch.randn(3000, 24) * scale
    np.testing.assert_array_equal(exact_topk(users, items, 9, plan=Plan(product))[0].numpy(), brute_force(users, items, 9)[0])


@pytest.mark.parametrize("product", PRODUCTS)
def test_users_of_all_lengths_in_one_block_are_exact(product):
    torch.manual_seed(4)
    users = torch.randn(6, 8) * torch.tensor([[0.0], [1e-38], [1.0], [1e6], [1e37], [3e37]])
    items = torch.randn(700, 8)
    np.testing.assert_array_equal(exact_topk(users, items, 5, plan=Plan(product))[0].numpy(), brute_force(users, items, 5)[0])


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("k", [1, 199, 200, 5000])
def test_k_may_be_the_catalogue_and_more(product, k):
    torch.manual_seed(5)
    users, items = torch.randn(3, 7), torch.randn(201, 7)
    ids, scores = exact_topk(users, items, k, plan=Plan(product))
    expected_ids, expected = brute_force(users, items, k)
    np.testing.assert_array_equal(ids.numpy(), expected_ids)
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_user_who_has_seen_everything_gets_nothing(product):
    everything = torch.arange(6000)
    excluded = (torch.cat([everything, everything[:5990]]), torch.tensor([0, 6000, 11990]))
    torch.manual_seed(6)
    users, items = torch.randn(2, 16), torch.randn(6000, 16)
    ids, scores = exact_topk(users, items, 12, excluded, plan=Plan(product))
    assert ids[0].tolist() == [0] * 12 and scores[0].tolist() == [-float("inf")] * 12
    assert sorted(ids[1].tolist()) == [0, 0, *range(5990, 6000)]


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_best_items_of_a_large_catalogue_may_all_be_excluded(product):
    """The first floors come from a sample of the first block, in which each user's own exclusions stand on top."""
    torch.manual_seed(7)
    users, items = torch.randn(40, 16), torch.randn(9000, 16)
    seen = brute_force(users, items, 60)[0]
    excluded = (torch.from_numpy(seen).flatten(), torch.arange(41) * 60)
    for k in (1, 10):
        expected = brute_force(users, items, k, excluded)[0]
        np.testing.assert_array_equal(exact_topk(users, items, k, excluded, plan=Plan(product))[0].numpy(), expected)


@pytest.mark.parametrize("product", PRODUCTS)
def test_few_eligible_items_are_found(product):
    torch.manual_seed(8)
    users, items, eligible = torch.randn(4, 16), torch.randn(8000, 16), torch.rand(8000) < 0.01
    expected = brute_force(users, items, 10, None, eligible)[0]
    np.testing.assert_array_equal(exact_topk(users, items, 10, None, eligible, plan=Plan(product))[0].numpy(), expected)


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("row", [0, 3, 50])
def test_an_item_that_is_no_number_is_refused_though_it_may_not_be_listed(product, row):
    items = torch.ones(60, 3)
    items[row, 2] = float("nan")
    eligible = torch.arange(60) != 3
    with pytest.raises(DataContractError, match="item matrix: 1 of 60 rows"):
        exact_topk(torch.ones(2, 3), items, 4, None, eligible, plan=Plan(product, item_rows=16, tile_rows=16))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_number_of_threads_changes_nothing(threads):
    torch.manual_seed(9)
    users, items, before = torch.randn(100, 20), torch.randn(3000, 20), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        ids, scores = exact_topk(users, items, 10)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(ids.numpy(), brute_force(users, items, 10)[0])
    assert torch.equal(scores, exact_scores(users, items[ids]))


@pytest.mark.skipif(not tiles.AVAILABLE, reason="this processor has no bf16 tiles")
def test_users_with_more_near_candidates_than_there_is_room_for_are_done_again(monkeypatch):
    """Only the second user's scores are alike: it alone goes to the more exact product."""
    again = []
    monkeypatch.setattr(topk, "block_lists", lambda users, *rest: again.append(len(users)) or block_lists(users, *rest))
    torch.manual_seed(10)
    items = torch.randn(4000, 8)
    items[:, 7] = 1 + torch.rand(4000) * 1e-5
    users = torch.tensor([[1.0] * 7 + [0.0], [0.0] * 7 + [1.0]])
    np.testing.assert_array_equal(exact_topk(users, items, 5, plan=Plan("tiles"))[0].numpy(), brute_force(users, items, 5)[0])
    assert again == [1]
