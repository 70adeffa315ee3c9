"""The benchmark of diversity: how its weight is chosen, and its figures by hand."""

import numpy as np
import pytest

from benchmarks.diversity import choose, compared, sparse_diversity, title_words, told
from nightrank.ranker.metrics.lists import intra_list_diversity


def test_the_weight_is_the_most_diverse_one_that_loses_little_enough() -> None:
    rows = [(0.0, 0.100, 0.5), (0.1, 0.0995, 0.6), (0.2, 0.098, 0.7), (0.3, 0.090, 0.9)]
    choices = [{"weight": w, "ndcg_B": np.array([n]), "diversity_B": np.array([d])} for w, n, d in rows]
    assert [choose(choices, lost) for lost in (0.0, 0.01, 0.021, 0.5)] == [0.0, 0.1, 0.2, 0.3]


def test_diversity_of_titles_is_that_of_dense_vectors_and_titles_share_words(tmp_path) -> None:
    file = tmp_path / "titles.item"
    file.write_text("item_id:token\ttitle:token_seq\n0\tSpace Trader\n1\tSpace trader, gold\n2\tChess\n9\tbeyond the items\n")
    words_IW = title_words(file, 3, 1)
    ids_BK = np.array([[1, 2, 3], [2, 3, 0], [1, 0, 0]])
    found = sparse_diversity(ids_BK, words_IW)
    assert found[:2] == pytest.approx(intra_list_diversity(ids_BK, words_IW.toarray())[:2])
    assert 0 < found[0] < 1 == pytest.approx(found[1]), "a chess game shares no word"
    assert np.asarray(words_IW.sum(axis=1)).ravel()[0] == 0


def test_shares_are_of_the_first_and_drawn_together() -> None:
    before = {"ndcg_B": np.full(50, 0.2), "diversity_B": np.linspace(0.2, 0.4, 50), "title_diversity_B": np.full(50, 0.5)}
    after = {name: 1.5 * values for name, values in before.items()}
    for change in compared(before, after).values():
        assert change["share"] == pytest.approx(0.5) and change["interval"] == pytest.approx([0.5, 0.5])
    assert told({"weight": 0.1, "ids_BK": np.zeros((1, 1)), "ndcg_B": np.array([0.1, 0.3])}) == {"weight": 0.1, "ndcg": 0.2}
