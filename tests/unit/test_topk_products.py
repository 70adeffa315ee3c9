"""Lists are the same whatever product they begin with, and the bounds on the products' errors hold."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.retrieval import tiles, topk
from nightrank.ranker.retrieval.chunks import block_lists, largest
from nightrank.ranker.retrieval.exact import exact_scores, whole_row
from nightrank.ranker.retrieval.rounding import bounds_of, lengths_of
from nightrank.ranker.retrieval.topk import exact_topk
from tests.unit.test_topk import PRODUCTS, brute_force, exclusions


def halves(terms):
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return halves([a + b for a, b in zip(terms[:half], terms[half:], strict=True)])


@pytest.mark.parametrize("width", [1, 2, 3, 8, 9, 64, 100])
def test_a_score_is_a_sum_of_halves_in_fp64_rounded_once(width):
    random = np.random.default_rng(width)
    user, item = (random.standard_normal(width).astype(np.float32) for _ in range(2))
    terms = [float(a) * float(b) for a, b in zip(user, item, strict=True)]
    terms += [0.0] * ((1 << (width - 1).bit_length()) - width)
    got = exact_scores(torch.from_numpy(user)[None], torch.from_numpy(item)[None, None])
    assert got.shape == (1, 1) and got.dtype == torch.float32
    assert got.item() == np.float32(halves(terms))


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("width", [1, 31, 64, 100, 256])
def test_every_product_gives_the_same_lists_to_the_last_bit(product, width):
    torch.manual_seed(width)
    users, items = torch.randn(70, width), torch.randn(9000, width) * torch.rand(9000, 1)
    excluded = exclusions(np.random.default_rng(width), 70, 400)
    expected = brute_force(users, items, 12, excluded)
    ids, scores = exact_topk(users, items, 12, excluded, product=product, item_rows=5000)
    np.testing.assert_array_equal(ids.numpy(), expected[0])
    assert torch.equal(scores, exact_scores(users, items[ids]))


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e-18, 1e15, 1e18])
def test_lists_of_very_short_and_very_long_vectors_are_exact(product, scale):
    """Squares, products and sums may underflow or overflow on the way; equal scores are in order of the id."""
    torch.manual_seed(3)
    users, items = torch.randn(5, 24) * scale, torch.randn(3000, 24) * scale
    np.testing.assert_array_equal(exact_topk(users, items, 9, product=product)[0].numpy(), brute_force(users, items, 9)[0])


@pytest.mark.parametrize("product", PRODUCTS)
def test_users_of_all_lengths_in_one_block_are_exact(product):
    torch.manual_seed(4)
    users = torch.randn(6, 8) * torch.tensor([[0.0], [1e-38], [1.0], [1e6], [1e37], [3e37]])
    items = torch.randn(700, 8)
    np.testing.assert_array_equal(exact_topk(users, items, 5, product=product)[0].numpy(), brute_force(users, items, 5)[0])


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("k", [1, 199, 200, 5000])
def test_k_may_be_the_catalogue_and_more(product, k):
    torch.manual_seed(5)
    users, items = torch.randn(3, 7), torch.randn(201, 7)
    ids, scores = exact_topk(users, items, k, product=product)
    expected_ids, expected = brute_force(users, items, k)
    np.testing.assert_array_equal(ids.numpy(), expected_ids)
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_user_who_has_seen_everything_gets_nothing(product):
    everything = torch.arange(6000)
    excluded = (torch.cat([everything, everything[:5990]]), torch.tensor([0, 6000, 11990]))
    torch.manual_seed(6)
    users, items = torch.randn(2, 16), torch.randn(6000, 16)
    ids, scores = exact_topk(users, items, 12, excluded, product=product)
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
        np.testing.assert_array_equal(exact_topk(users, items, k, excluded, product=product)[0].numpy(), expected)


@pytest.mark.parametrize("product", PRODUCTS)
def test_few_eligible_items_are_found(product):
    torch.manual_seed(8)
    users, items, eligible = torch.randn(4, 16), torch.randn(8000, 16), torch.rand(8000) < 0.01
    expected = brute_force(users, items, 10, None, eligible)[0]
    np.testing.assert_array_equal(exact_topk(users, items, 10, None, eligible, product=product)[0].numpy(), expected)


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("row", [0, 3, 50])
def test_an_item_that_is_no_number_is_refused_though_it_may_not_be_listed(product, row):
    items = torch.ones(60, 3)
    items[row, 2] = float("nan")
    eligible = torch.arange(60) != 3
    with pytest.raises(DataContractError, match="item matrix: 1 of 60 rows"):
        exact_topk(torch.ones(2, 3), items, 4, None, eligible, product=product, item_rows=16)


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
    np.testing.assert_array_equal(exact_topk(users, items, 5, product="tiles")[0].numpy(), brute_force(users, items, 5)[0])
    assert again == [1]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), width=st.integers(1, 300), scale=st.sampled_from([1e-20, 1.0, 1e12]))
def test_products_are_no_farther_from_the_scores_than_their_bounds_say(seed, width, scale):
    random = torch.Generator().manual_seed(seed)
    users, items = torch.randn(3, width, generator=random) * scale, torch.randn(40, width, generator=random)
    exact = users.double() @ items.double().T
    for kind in (torch.bfloat16, torch.float32):
        rounded = items.to(kind)
        product = users.to(kind).float() @ rounded.float().T
        error_B = bounds_of(users, kind).at(*lengths_of(items, rounded))
        assert bool(((product.double() - exact).abs().amax(1) <= error_B).all())
        longest = users.norm(dim=1) * items.norm(dim=1).max()
        assert bool((error_B < (2.0**-7 if kind == torch.bfloat16 else width * 2.0**-20) * longest + 1e-12).all()), "no tighter"


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), width=st.integers(1, 2000), count=st.integers(1, 12), levels=st.sampled_from([3, 10_000]))
def test_the_largest_by_chunks_are_the_largest(seed, width, count, levels):
    scores = torch.from_numpy(np.random.default_rng(seed).integers(0, levels, (3, width))).float()
    values, places = largest(scores, count)
    assert torch.equal(values, scores.topk(min(count, width), dim=1).values)
    assert torch.equal(scores.gather(1, places), values)
    assert all(len(set(row)) == len(row) for row in places.tolist())


def test_a_whole_row_is_padded_where_the_catalogue_is_shorter():
    ids, scores = whole_row(torch.ones(1), torch.tensor([[5.0], [1.0], [2.0]]), torch.tensor([True, False, False]), 4)
    assert (ids.tolist(), scores.tolist()) == ([2, 1, 0, 0], [2.0, 1.0, -float("inf"), -float("inf")])
