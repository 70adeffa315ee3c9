"""The accuracy harness on a handful of sequences: who is asked what, texts by item, what is written and drawn."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.accuracy import __main__ as accuracy
from benchmarks.accuracy import cold, draw, paired
from benchmarks.accuracy.attributes import read_attributes
from benchmarks.accuracy.features import read_features
from benchmarks.accuracy.fit import Known, ask, device_of, fit
from benchmarks.accuracy.report import figures, unpacked
from benchmarks.accuracy.sequences import Questions, questions, read_sequences
from benchmarks.accuracy.texts import read_texts
from nightrank.feature_store.as_of import LONGEST, SCALE
from nightrank.feature_store.contracts.errors import DataContractError, UsageError
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.loop.step import rows_between
from tests.text_models import WIDTH, tiny_bert
from tests.training_lake import synthetic_sequences

FROM_ZERO = "7 0 1 2 3\n8 1 2 3 4 9\n"


@pytest.fixture
def sequences(tmp_path):
    path = tmp_path / "set" / "sequences.txt"
    path.parent.mkdir()
    rows = synthetic_sequences(60, 40, shortest=5)
    path.write_text("".join(f"{user} {' '.join(map(str, row))}\n" for user, row in enumerate(rows)))
    return path


def test_ids_from_zero_are_moved_by_one(tmp_path):
    (tmp_path / "s.txt").write_text(FROM_ZERO)
    data = read_sequences(tmp_path / "s.txt")
    assert (data.shift, data.items, data.flat.tolist()) == (1, 10, [1, 2, 3, 4, 2, 3, 4, 5, 10])


def test_targets_that_nobody_trained_on_are_asked_for_where_texts_can_find_them(tmp_path):
    (tmp_path / "s.txt").write_text(FROM_ZERO)
    data = read_sequences(tmp_path / "s.txt")
    assert questions(data, 1, 1).target_B.tolist() == [4]  # 10 is in no training row
    assert questions(data, 1, 1, every_target=True).target_B.tolist() == [4, 10]


def test_attributes_stand_by_item(tmp_path):
    (tmp_path / "s.txt").write_text(FROM_ZERO)
    (tmp_path / "a.json").write_text(json.dumps({"0": [3, 1], "9": [2], "77": [5]}))
    codes = read_attributes(tmp_path / "a.json", read_sequences(tmp_path / "s.txt"))
    assert codes.shape == (11, 2)
    assert (codes[1].tolist(), codes[10].tolist(), int(codes.sum())) == ([3, 1], [2, 0], 6)
    (tmp_path / "a.json").write_text(json.dumps({"1": [0]}))
    with pytest.raises(DataContractError, match=r"a\.json has a code below 1"):
        read_attributes(tmp_path / "a.json", read_sequences(tmp_path / "s.txt"))


def test_texts_stand_by_item(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    (tmp_path / "s.txt").write_text(FROM_ZERO)
    folder = tiny_bert(tmp_path / "bert")
    known = Tokenizer(models.WordLevel({"[UNK]": 0, "chess": 5, "set": 6}, unk_token="[UNK]"))
    known.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=known, unk_token="[UNK]").save_pretrained(folder)
    (tmp_path / "titles").write_text("id\ttitle\n0\tchess set\n2\tchess\n3\t \n99\tfar away\n")
    found = read_texts(tmp_path / "titles", read_sequences(tmp_path / "s.txt"), str(folder), threads=1)
    assert found.vectors.shape == (11, WIDTH)
    assert found.vectors.any(1).nonzero().flatten().tolist() == [1, 3]
    assert found.tokens.flat.tolist() == [5, 6, 5]
    assert found.tokens.offsets.diff().tolist() == [0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0]


RATINGS = "userId,movieId,rating,timestamp\n" + "".join(
    f"{user},{70 - movie},4.0,{86_400 * (10 * user + movie)}\n" for user in (1, 2, 3) for movie in range(1, 6)
)
"""Three users rate the films 69 to 65, one a day; the second and the third begin ten days after the one before."""


def test_features_count_what_the_loss_may_see(tmp_path):
    (tmp_path / "ratings.csv").write_text(RATINGS)
    data = read_sequences(tmp_path / "ratings.csv")
    assert (data.items, data.lengths.tolist(), data.flat[:5].tolist()) == (5, [5, 5, 5], [5, 4, 3, 2, 1])
    assert data.times[:2].tolist() == [86_400_000_000 * 11, 86_400_000_000 * 12]
    tables = read_features(data, ["count_all"], ["count_all", "recency_days"])
    filled = tables.fill(questions(data, 1, 2, every_target=True).history)
    users = np.expm1(filled.user_inputs_TF.numpy() / SCALE).round()
    items = np.expm1(filled.item_inputs_TF.numpy() / SCALE).round()
    # The history of a test item: its fourth event was held out, so that nobody's sums know of it.
    assert users[:, 0].tolist() == [0, 1, 2, 3] * 3
    assert items[:, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 2, 2, 2, 0]
    assert items[:, 1].tolist() == [LONGEST] * 4 + [10, 10, 10, LONGEST] * 2
    with pytest.raises(UsageError, match="the set has no times"):
        read_features(replace(data, times=None), ["count_all"], [])
    assert read_features(data, [], []) is None


def test_a_ranker_is_trained_and_asked_with_features(tmp_path):
    (tmp_path / "ratings.csv").write_text(RATINGS)
    read = read_sequences(tmp_path / "ratings.csv")
    turned = np.concatenate([np.roll(read.flat[first : first + 5], first // 5) for first in (0, 5, 10)])
    data = replace(read, flat=turned)  # Everybody's newest film is one that another's training row has.
    small = {"model": {"width": 8, "encoder": {"name": "towers", "hidden": [8]}}, "fit": {"epochs": 2}, "batch_rows": 2}
    config = TrainerConfig.model_validate({**small, "loss": {"negatives": 4}})
    known = Known(features=read_features(data, ["count_all"], ["recency_days"]))
    outcome = fit(config, data, "strict", 1, lambda text: None, known=known)
    assert outcome.ranker.shapes.features == known.features.features
    queries, device = questions(data, 1, 1), device_of(config)
    found = ask(outcome.ranker, queries, device, known)
    assert len(found["ndcg@10"]) == queries.history.rows == 3


def test_a_run_is_written_tabled_and_drawn(tmp_path, sequences, monkeypatch, capsys):
    out = tmp_path / "beauty_small.json"
    arguments = [
        "--set",
        "trainer.model.width=16",
        "trainer.fit.epochs=2",
        "trainer.batch_rows=16",
        "trainer.loss.negatives=8",
    ]
    monkeypatch.setattr(
        sys,
        "argv",
        ["accuracy", "--data", str(sequences), "--seeds", "1", "2", "--threads", "1", "--out", str(out), *arguments],
    )
    accuracy.main()
    result = json.loads(out.read_text())
    assert [(run["seed"], run["protocol"]) for run in result["runs"]] == [
        (1, "strict"),
        (1, "refit"),
        (2, "strict"),
        (2, "refit"),
    ]
    for run in result["runs"]:
        low, high = run["test"]["intervals"]["ndcg@10"]
        assert 0 <= low <= run["test"]["ndcg@10"] <= high <= 1
        assert run["test"]["n"] <= run["test"]["of"] == 60
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["draw", "--results", str(tmp_path), "--out", str(tmp_path)])
    draw.main()
    lines = capsys.readouterr().out.splitlines()
    wanted = np.mean([run["test"]["ndcg@10"] for run in result["runs"] if run["protocol"] == "refit"])
    row = next(line for line in lines if "| refit |" in line)
    assert f"{wanted:.4f}"[1:] in row and "| 2 |" in row
    assert (tmp_path / "accuracy-beauty.png").stat().st_size > 5_000


def test_shares_of_the_bias_and_shrunk_ids_are_tabled_without_the_test_split(tmp_path, sequences, monkeypatch, capsys):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    sequences.write_text(sequences.read_text() + "".join(f"{100 + i} 1 2 3 {41 + i} 5\n" for i in range(4)))
    folder, words = tiny_bert(tmp_path / "bert"), {f"w{i}": i for i in range(40)}
    known = Tokenizer(models.WordLevel({"[UNK]": 0, **words}, unk_token="[UNK]"))
    known.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=known, unk_token="[UNK]").save_pretrained(folder)
    titles = tmp_path / "titles"
    titles.write_text("id\ttitle\n" + "".join(f"{i}\tw{i % 40}\n" for i in range(1, 41)))
    small = ["model.width=16", "model.head.item_bias=true", "fit.epochs=1", "batch_rows=16", "loss.negatives=8"]
    changes = [f"trainer.{change}" for change in small]
    given = ["--data", str(sequences), "--titles", str(titles), "--text-encoder", str(folder), "--config", "amazon-games"]
    monkeypatch.setattr(sys, "argv", ["cold", *given, "--threads", "1", "--set", *changes])
    monkeypatch.setattr(cold, "questions", _only_validation)
    rows = cold.main()
    assert [(row["item"], row["shrinkage"], row["share"]) for row in rows] == [
        *(("id", 0.0, share) for share in cold.SHARES),
        *(("id and text", shrinkage, share) for shrinkage in cold.SHRINKAGES for share in cold.SHARES),
    ]
    assert all(4 <= row["cold"]["n"] < row["all"]["n"] for row in rows)
    assert len({row["all"]["ndcg@20"] for row in rows[4:]}) > 4, "both change the lists"
    assert len([line for line in capsys.readouterr().out.splitlines() if line.startswith("| id")]) == len(rows)


def _only_validation(data, back, hold, every_target):
    assert (back, hold) == (2, 2)
    return questions(data, back, hold, every_target)


def ranked(ranks):
    """Metrics by user of one target each that stands at `ranks`, 0 being nowhere."""
    ranks = np.array(ranks)
    result = {}
    for k in (10, 20):
        inside = (ranks > 0) & (ranks <= k)
        result[f"recall@{k}"] = inside.astype(float)
        result[f"ndcg@{k}"] = np.where(inside, 1 / np.log2(np.maximum(ranks, 1) + 1), 0.0)
    return result


def test_ranks_travel_with_the_figures():
    given = ranked([0, *range(1, 21), 0, 20, 1])
    back = unpacked(figures(given, seed=1)["ranks"])
    for name in ("recall@10", "ndcg@10"):
        assert back[name] == pytest.approx(given[name])


def test_a_small_sure_difference_is_seen_user_by_user(tmp_path, monkeypatch, capsys):
    random = np.random.default_rng(0)
    theirs = np.where(random.random(2000) < 0.1, random.integers(1, 11, 2000), 0)
    ours = np.where((theirs > 1) & (random.random(2000) < 0.3), 1, theirs)
    for name, ranks in (("ours", ours), ("theirs", theirs)):
        run = {"protocol": "strict", "test": figures(ranked(ranks), seed=1)}
        (tmp_path / f"{name}.json").write_text(json.dumps({"name": name, "runs": [run]}))
    monkeypatch.setattr(sys, "argv", ["paired", str(tmp_path / "ours.json"), str(tmp_path / "theirs.json")])
    (row,) = paired.main()
    assert row["ndcg@10"]["interval"][0] > 0 and row["recall@10"]["mean"] == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["a"], told["b"]) == ("ours", "theirs")
    (tmp_path / "theirs.json").write_text((tmp_path / "theirs.json").read_text().replace("strict", "refit"))
    assert paired.main() == []
    run = {"protocol": "strict", "test": figures(ranked(theirs[:50]), seed=1)}
    (tmp_path / "theirs.json").write_text(json.dumps({"name": "theirs", "runs": [run]}))
    with pytest.raises(DataContractError, match="2000 users against 50"):
        paired.main()


def test_who_is_asked_together_changes_nobodys_figures(sequences):
    data, device = read_sequences(sequences), device_of(TrainerConfig(precision="fp32"))
    ranker = fit(TrainerConfig(fit={"epochs": 0}, model={"width": 8}), data, "strict", 1, print).ranker
    whole = questions(data, 1, 1)
    assert len(whole.history.lengths.unique()) > 3
    together = ask(ranker, whole, device, rows=7)["ndcg@20"]
    each = [
        Questions(rows_between(whole.history, row, row + 1), whole.target_B[row : row + 1], 1) for row in range(len(together))
    ]
    assert 0 < (together > 0).sum() < len(together)
    np.testing.assert_array_equal(together, [ask(ranker, one, device)["ndcg@20"][0] for one in each])
