"""Exclusions, ties and faults at the borders of blocks and chunks, and users who are done again."""

import pytest
import torch

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.retrieval import topk
from nightrank.ranker.retrieval.chunks import Hidden, block_lists
from nightrank.ranker.retrieval.plan import Plan
from nightrank.ranker.retrieval.topk import exact_topk
from tests.unit.test_topk import PRODUCTS, brute_force


def small(product):
    """Blocks of 8 items, chunks of 2."""
    return Plan(product, user_rows=2, item_rows=8, tile_rows=8, chunk=2, spare=0)


@pytest.mark.parametrize("product", PRODUCTS)
def test_ties_at_the_kth_place_go_on_over_blocks_in_order_of_the_id(product):
    items = torch.ones(50, 2)
    items[33] = 2
    ids, _ = exact_topk(torch.ones(3, 2), items, 18, plan=small(product))
    assert ids.tolist() == [[33, *range(1, 18)]] * 3


@pytest.mark.parametrize("product", PRODUCTS)
def test_exclusions_at_the_borders_of_blocks_belong_to_one_user_and_one_item(product):
    """The users are in two blocks as well."""
    items = torch.arange(50, 0, -1).float().unsqueeze(1)
    seen = [[1, 7, 8, 9], [], [15, 16, 24], [1, 2, 49, 0]]
    excluded = (torch.tensor([item for mine in seen for item in mine]), torch.tensor([0, 4, 4, 7, 11]))
    ids, _ = exact_topk(torch.ones(4, 1), items, 20, excluded, plan=small(product))
    assert ids.tolist() == [[item for item in range(1, 50) if item not in mine][:20] for mine in seen]


@pytest.mark.parametrize("product", PRODUCTS)
def test_what_is_not_eligible_at_the_borders_of_blocks_is_not_listed(product):
    eligible = torch.ones(50, dtype=torch.bool)
    eligible[[7, 8, 16, 49]] = False
    items = torch.arange(50).float().unsqueeze(1)
    ids, _ = exact_topk(torch.ones(1, 1), items, 49, None, eligible, small(product))
    assert ids.tolist() == [[item for item in range(48, 0, -1) if item not in (7, 8, 16)] + [0] * 4]


@pytest.mark.parametrize("product", ["bf16", *(["tiles"] if "tiles" in PRODUCTS else [])])
def test_users_who_are_done_again_keep_their_own_exclusions(product, monkeypatch):
    """Users 1 and 3 cannot tell items apart in bf16. Users 0 and 2 can, and have seen what is best for the others."""
    again = []
    monkeypatch.setattr(topk, "whole_row", lambda *arguments: pytest.fail("fp32 can tell"))
    monkeypatch.setattr(topk, "block_lists", lambda *given: (again.append(len(given[0])), block_lists(*given))[1])
    torch.manual_seed(11)
    items = torch.cat([torch.randn(3000, 7), 1 + torch.randperm(3000).unsqueeze(1) * 2.0**-21], 1)
    sure, unsure = torch.tensor([1.0] * 7 + [0.0]), torch.tensor([0.0] * 7 + [1.0])
    users = torch.stack([sure, unsure, sure, unsure, sure])
    best = brute_force(users, items, 6)[0]
    seen = [best[1], best[1][:2], best[3], best[3][2:5], best[0]]
    excluded = (torch.tensor([int(item) for row in seen for item in row]), torch.tensor([0, 6, 8, 14, 17, 23]))
    ids, _ = exact_topk(users, items, 6, excluded, plan=Plan(product))
    assert ids.tolist() == brute_force(users, items, 6, excluded)[0].tolist()
    assert again == ([5, 2] if product == "bf16" else [2])


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("decoys", [10, 100, 600])
def test_an_item_whose_product_is_off_by_nearly_the_bound_is_found(product, decoys):
    """Rounded to bf16, 1 + 2^-8 is 1 and 1 + 2^-8 + 2^-20 is 1 + 2^-7: the best item comes last of all."""
    near = 1 + 2.0**-8
    items = torch.tensor([[9.0, 9.0], *[[near + 2.0**-20, 1.0]] * decoys, [near, near]])
    ids, scores = exact_topk(torch.ones(1, 2), items, 2, plan=Plan(product))
    assert ids.tolist() == [[decoys + 1, 1]]
    assert scores.tolist() == [[2 * near, near + 2.0**-20 + 1]]


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("row", [8, 15, 49])
def test_a_fault_in_any_part_is_counted(product, value, row):
    items = torch.ones(50, 2)
    items[row, 1] = value
    plan = Plan(product, item_rows=8, tile_rows=8, checked=16)
    with pytest.raises(DataContractError, match=r"^item matrix: 1 of 50 rows"):
        exact_topk(torch.ones(2, 2), items, 3, plan=plan)
    with pytest.raises(DataContractError, match=r"^user vectors: 1 of 50 rows"):
        exact_topk(items, torch.ones(9, 2), 3, plan=plan)


@pytest.mark.parametrize("product", PRODUCTS)
def test_numbers_whose_sum_overflows_are_no_fault(product):
    items = torch.tensor([[0.0], [3e38], [2e38], [1e38]])
    ids, scores = exact_topk(torch.ones(1, 1), items, 2, plan=Plan(product))
    assert ids.tolist() == [[1, 2]] and scores.tolist() == items[[1, 2]].T.tolist()


def test_a_catalogue_without_items_lists_nothing():
    for product in PRODUCTS:
        ids, scores = exact_topk(torch.ones(2, 3), torch.ones(1, 3), 4, plan=Plan(product))
        assert ids.tolist() == [[0] * 4] * 2 and scores.tolist() == [[-float("inf")] * 4] * 2
    assert [part.shape for part in exact_topk(torch.ones(0, 3), torch.ones(5, 3), 4)] == [(0, 4)] * 2


def test_hidden_items_of_a_block_and_of_a_user():
    hidden = Hidden(torch.tensor([True, False, False, False, True]), torch.tensor([0, 1, 1]), torch.tensor([2, 1, 3]))
    scores = torch.zeros(2, 2)
    hidden.mask(scores, 2)
    assert scores.tolist() == [[-float("inf"), 0.0], [0.0, -float("inf")]]
    assert hidden.of(0).tolist() == [True, False, True, False, True]
    assert hidden.of(1).tolist() == [True, True, False, True, True]
    assert hidden.blocked_I.tolist() == [True, False, False, False, True]
