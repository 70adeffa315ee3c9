"""Lists of heads that score pair by pair: tiles, ties and exclusions against sorting everything."""

import pytest
import torch

from nightrank.ranker.config.ranker import MlpConfig, RankerConfig, TransformerConfig, TransformerHeadConfig
from nightrank.ranker.heads import pairs
from nightrank.ranker.heads.mlp import MlpHead
from nightrank.ranker.heads.transformer import TransformerHead
from nightrank.ranker.retrieval.listing import best_items

ITEMS, ROWS, K = 257, 11, 10
HEADS = {
    "mlp": (MlpHead, MlpConfig(hidden=8)),
    "mlp and product": (MlpHead, MlpConfig(hidden=8, product=True)),
    "transformer": (TransformerHead, TransformerHeadConfig(hidden=8)),
}


@pytest.fixture(params=sorted(HEADS))
def head(request):
    torch.manual_seed(3)
    kind, config = HEADS[request.param]
    return kind(RankerConfig(width=8, encoder=TransformerConfig(heads=2), head=config)).eval()


def test_tiles_are_the_whole(head, monkeypatch):
    queries, catalogue = torch.randn(ROWS, head.width), torch.randn(ITEMS, head.width)
    with torch.no_grad():
        whole = head.every(queries, catalogue)
        for held in (1, 4 * 8 * 3, 4 * 8 * 100, 10**9):
            monkeypatch.setattr(pairs, "VALUES", {"cpu": held})
            torch.testing.assert_close(head.scores(queries, catalogue), whole, atol=1e-5, rtol=1e-5)
        assert head.scores(queries[:0], catalogue).shape == (0, ITEMS)


@pytest.mark.parametrize("distinct", [3, 40, ITEMS])
def test_lists_are_the_first_of_everything_sorted_ties_by_id(head, distinct):
    """With few distinct items most scores are equal, and ties go on far beyond the list."""
    queries = torch.randn(ROWS, head.width)
    catalogue = torch.randn(distinct, head.width)[torch.arange(ITEMS) % distinct]
    excluded = (torch.arange(5, 5 + 2 * ROWS), torch.arange(0, 2 * ROWS + 1, 2))
    eligible = torch.arange(ITEMS) % 7 != 0
    ids, scores = best_items(head, queries, catalogue, K, excluded, eligible)
    with torch.no_grad():
        whole = head.scores(queries, catalogue)
    for row in range(ROWS):
        hidden = {0, *excluded[0][2 * row : 2 * row + 2].tolist()}
        open_ids = [i for i in range(ITEMS) if eligible[i] and i not in hidden]
        wanted = sorted(open_ids, key=lambda i: (-float(whole[row, i]), i))[:K]
        assert ids[row].tolist() == wanted
        assert scores[row].tolist() == [float(whole[row, i]) for i in wanted]


def test_a_list_longer_than_the_catalogue_ends_with_nothing(head):
    ids, scores = best_items(head, torch.randn(2, head.width), torch.randn(6, head.width), 9)
    assert (ids[:, 5:] == 0).all() and (scores[:, 5:] == float("-inf")).all()
    assert (ids[:, :5].sort().values == torch.arange(1, 6)).all()


def test_every_pair_is_what_the_pairs_are(head):
    queries, catalogue = torch.randn(ITEMS, head.width), torch.randn(ITEMS, head.width)
    with torch.no_grad():
        torch.testing.assert_close(
            head.every(queries, catalogue).diagonal(), head.own(queries, catalogue), atol=1e-5, rtol=1e-5
        )


def test_the_product_is_added_to_the_perceptron():
    plain = MlpHead(RankerConfig(width=8, encoder=TransformerConfig(heads=2), head=MlpConfig(hidden=8)))
    both = MlpHead(RankerConfig(width=8, encoder=TransformerConfig(heads=2), head=MlpConfig(hidden=8, product=True)))
    both.load_state_dict(plain.state_dict())
    users, items = torch.randn(5, 8), torch.randn(5, 8)
    torch.testing.assert_close(both.own(users, items), plain.own(users, items) + (users * items).sum(1))
