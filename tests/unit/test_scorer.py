"""A process that scores holds the catalogue's pages with all others of its host, and nothing of what lists are made without."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.batch import Batch
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.ranker.bundle.scorer import load_scorer
from nightrank.ranker.bundle.store import save_bundle
from nightrank.ranker.compose import compose
from nightrank.ranker.config.ranker import RankerConfig, TransformerConfig
from nightrank.ranker.inputs import ItemInputs
from nightrank.ranker.retrieval.plan import Plan
from nightrank.ranker.retrieval.topk import exact_topk

ITEMS, WIDTH = 100_000, 32
TABLE = (ITEMS + 1) * WIDTH * 4
BATCH = Batch.from_lists([[1, 2, 3], [ITEMS, 7]])
PROGRAM = """
import json, re, sys
from pathlib import Path
from nightrank.ranker.batch import Batch
from nightrank.ranker.bundle.scorer import load_scorer

folder = Path(sys.argv[1])
scorer = load_scorer(folder, folder.name)
ids, _ = scorer.best(Batch.from_lists([[1, 2, 3], [100_000, 7]]), 5)
found, file = {}, None
for line in Path("/proc/self/smaps").read_text().splitlines():
    if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
        file = line.split()[5] if len(line.split()) > 5 else ""
    elif file.startswith(str(folder)):
        key, _, value = line.partition(":")
        if value.endswith("kB"):
            of_file = found.setdefault(Path(file).name, {})
            of_file[key] = of_file.get(key, 0) + 1024 * int(value.split()[0])
print(json.dumps({"ids": ids.tolist(), "smaps": found}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    text = torch.randn(ITEMS + 1, 4, generator=torch.Generator().manual_seed(0))
    known = ItemInputs(ITEMS, text=text, popularity=torch.arange(ITEMS + 1))
    ranker = compose(RankerConfig(width=WIDTH, encoder=TransformerConfig(max_length=6)), known, seed=1).eval()
    raw_ids = [f"i{item}" for item in range(1, ITEMS + 1)]
    name = save_bundle(models / "b", ranker, raw_ids, snapshot_id="s", lineage="l")
    return (models / "b").rename(models / name)


def test_its_lists_are_the_bundle_s(folder):
    scorer, bundle = load_scorer(folder), load_bundle(folder)
    ids, scores = scorer.best(BATCH, 5)
    expected_ids, expected = bundle.best(BATCH, 5)
    assert torch.equal(ids, expected_ids) and torch.equal(scores, expected)
    assert scorer.vocabulary.to_pylist() == bundle.raw_ids


def test_a_process_maps_the_catalogue_shared_and_reads_no_weight_of_the_items(folder):
    """This process scores with the same bundle, so the other one's pages of the catalogue are shared with it."""
    scorer = load_scorer(folder)
    expected = scorer.best(BATCH, 5)[0].tolist()
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["ids"] == expected
    matrix = seen["smaps"].pop("item_matrix.safetensors")
    assert matrix["Rss"] > TABLE and matrix["Private_Dirty"] == 0
    assert matrix["Shared_Clean"] > 0.9 * TABLE
    weights = seen["smaps"].pop("weights.safetensors")
    assert (folder / "weights.safetensors").stat().st_size > TABLE, "the items' own vectors are in there"
    user_side = sum(value.nbytes for value in scorer.encoder.state_dict().values())
    # The kernel maps pages around one that is touched, at most 64 KiB at a time.
    assert weights["Rss"] < 2 * user_side + (256 << 10) < TABLE / 4 and weights["Private_Dirty"] == 0
    assert seen["smaps"] == {}


def test_a_bundle_reads_the_weights_of_the_items_when_they_are_asked_for(folder):
    bundle = load_bundle(folder)
    assert "weights" not in vars(bundle)
    assert bundle.weights["items.ids.weight"].shape == (ITEMS + 1, WIDTH)
    user_side = bundle.encoder.state_dict()
    assert all(torch.equal(bundle.weights[f"encoder.{name}"], value) for name, value in user_side.items())


@pytest.mark.parametrize("where", ["users", "items"])
def test_a_fault_beyond_the_first_part_of_the_catalogue_is_counted(where):
    values = {"users": torch.ones(2, 3), "items": torch.ones(50, 3)}
    values[where][-1, 1] = float("nan")
    with pytest.raises(DataContractError, match=rf"1 of {len(values[where])} rows hold a NaN"):
        exact_topk(values["users"], values["items"], 2, plan=Plan("fp32", item_rows=16, checked=9))


def test_the_file_of_a_scorer_may_go_while_it_scores(folder, tmp_path):
    """A sweep of old models takes the folder away; the pages stay as long as somebody maps them."""
    copy = tmp_path / folder.name
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    scorer = load_scorer(Path(copy))
    for path in copy.iterdir():
        path.unlink()
    assert torch.equal(scorer.best(BATCH, 5)[0], load_scorer(folder).best(BATCH, 5)[0])
