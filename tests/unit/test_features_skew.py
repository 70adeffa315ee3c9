"""The same user with the same history gets the same features in training, in Spark's executors and from the logged model."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from nightrank.feature_store.as_of import from_events
from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.actions import ACTION_CODES, ACTION_NAMES
from nightrank.feature_store.contracts.aggregates import counters_of
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.features import Attribute, Features
from nightrank.ranker.batch import SIDE, Batch
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.ranker.bundle.histories import History, batch_of_histories
from nightrank.ranker.bundle.store import store_bundle
from nightrank.ranker.compose import compose
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.ranker.features import coded
from nightrank.ranker.inputs import ItemInputs
from nightrank.spark_jobs.executor.features import tables_of
from nightrank.spark_jobs.executor.score import list_scorer, open_scorer
from nightrank.spark_jobs.executor.users import ScoreRules
from nightrank.trainer.data.epoch import iter_part
from nightrank.trainer.data.features import load_features
from tests.day_rows import day_rows
from tests.snapshots import Example, examples_table, make_snapshot, write_part
from tests.unit.test_plugin_features import forget
from tests.unit.test_plugins import install

ITEMS, USERS, K, ZONE = 12, 6, 4, "Europe/Berlin"
HOUR = 3_600_000_000
START = 19_800 * 24 * HOUR
FEATURES = Features(
    user=("count_3d", "view_all", "plugin.purchase_rate", "recency_days", "age_days"),
    item=("count_7d", "active_days_all", "plugin.purchase_rate"),
    attributes=(Attribute(name="country", values=("de", "fr")), Attribute(name="plan", values=("free",))),
    timezone=ZONE,
)
COUNTRIES = {1: {"country": "fr"}, 2: {"country": "de", "plan": "free"}, 4: {"country": "unheard of"}}
VIEW, CART, PURCHASE = (ACTION_CODES[name] for name in ("view", "cart", "purchase"))


def histories():
    """{user: (items, actions, times)}, times ascending over some days."""
    random = np.random.default_rng(5)
    found = {}
    for user in range(1, USERS + 1):
        n = int(random.integers(3, 9))
        times = START + np.cumsum(random.integers(1, 40, n)) * HOUR
        found[user] = (random.integers(1, ITEMS + 1, n), random.choice([VIEW, CART, PURCHASE], n), times)
    return found


def counted(events, key, names):
    """Rows of user_days or item_days."""
    entities = {"user": np.repeat(list(events), [len(row[0]) for row in events.values()])}
    entities["item"], actions, times = (np.concatenate([row[at] for row in events.values()]) for at in range(3))
    table = from_events(entities[key], actions, times, times, counters_of(names), ZONE)
    rows = day_rows(table, key, counters_of(names))
    # Spark leaves them in order of the day.
    return rows.sort_by([("day", "ascending"), (key, "ascending")])


@pytest.fixture(scope="module", autouse=True)
def _plugins(tmp_path_factory):
    """The package that offers the derived feature is installed in every process that looks one up."""
    folder = tmp_path_factory.mktemp("site")
    install(folder)
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(folder))
        yield
    forget()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """(root, snapshot, events): a `valid` row a user whose last event is asked for."""
    root, events = tmp_path_factory.mktemp("skew"), histories()
    rows = [Example(u, i.tolist(), len(i) - 1, a.tolist(), t.tolist()) for u, (i, a, t) in events.items()]
    attributes = [{"user": user, "attributes": list(known.items()), "known_from": 0} for user, known in COUNTRIES.items()]
    users, items = counted(events, "user", FEATURES.user), counted(events, "item", FEATURES.item)
    parts = {
        "valid": write_part(root, "examples_valid", examples_table(rows, "valid"), [[len(rows)]]),
        "user_features": write_part(root, "user_days", users, [[5], [len(users) - 5]]),
        "item_features": write_part(root, "item_days", items, [[len(items)]]),
        "user_attributes": write_part(
            root, "user_attributes", pa.Table.from_pylist(attributes, schema=schemas.USER_ATTRIBUTES), [[len(attributes)]]
        ),
    }
    return root, make_snapshot(parts, items=ITEMS, users=USERS, features=FEATURES), events


@pytest.fixture(scope="module")
def trained(world):
    """The rows as evaluation reads them: everything before the last event, filled."""
    root, snapshot, _ = world
    (batch,) = iter_part(snapshot, root, "valid")
    return load_features(snapshot, root, FEATURES).fill(batch.cut_at())


def ranker():
    config = RankerConfig.model_validate({"width": 8, "encoder": {"name": "transformer", "dropout": 0.0}})
    made = compose(config, ItemInputs(ITEMS, features=FEATURES), seed=1).eval()
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw), alpha=0.3)
    return made


def scoring_rows(world):
    """What score_users hands to executors of the users' histories without their last event; the counts know that one too."""
    _, _, events = world
    counts = counted(events, "user", FEATURES.user).to_pylist()
    order = sorted(events, key=lambda user: -user)
    of_user = {user: [row for row in counts if row["user"] == user] for user in order}
    columns = {
        "user": pa.array(order, pa.int32()),
        "user_id": pa.array([f"u{user}" for user in order]),
        "segment": pa.array([""] * len(order)),
        "items": pa.array([events[user][0][:-1].tolist() for user in order], pa.list_(pa.int32())),
        "actions": pa.array([events[user][1][:-1].tolist() for user in order], pa.list_(pa.int8())),
        "times": pa.array([events[user][2][:-1].tolist() for user in order], pa.list_(pa.int64())),
        "attributes": pa.array(
            [list(COUNTRIES[user].items()) if user in COUNTRIES else None for user in order], schemas.STRING_MAP
        ),
        "known_from": pa.array([0 if user in COUNTRIES else None for user in order], pa.int64()),
    }
    names = ("day", *counters_of(FEATURES.user))
    lists = {name: [[row[name] for row in of_user[user]] or None for user in order] for name in names}
    columns |= {f"daily_{name}": pa.array(values, pa.list_(pa.int32())) for name, values in lists.items()}
    return pa.RecordBatch.from_pydict(columns)


def test_executors_fill_a_batch_as_training_does(world, trained, tmp_path):
    _, _, events = world
    pq.write_table(counted(events, "item", FEATURES.item), tmp_path / "part-0.parquet")
    tables = tables_of(scoring_rows(world), FEATURES, str(tmp_path))
    empty = Batch(**{**vars(trained), **dict.fromkeys(SIDE)})
    filled = tables.fill(empty)
    for name in SIDE:
        assert torch.equal(getattr(filled, name), getattr(trained, name)), name
    assert trained.user_inputs_TF.abs().sum(0).all() and trained.item_inputs_TF.abs().sum(0).all()
    assert trained.attributes_TA[:, 0].unique().tolist() == [0, 1, 2]


def told(user, items, actions, times):
    """What a caller sends of the user's history without its last event."""
    names = [ACTION_NAMES[code] for code in actions[:-1].tolist()]
    return History([f"i{item}" for item in items[:-1]], times[:-1].tolist(), names, COUNTRIES.get(user))


def test_a_served_history_is_filled_as_training_does(world, trained):
    root, snapshot, events = world
    known = [told(user, *row) for user, row in events.items()]
    dense = {f"i{item}": item for item in range(1, ITEMS + 1)}
    served = batch_of_histories(known, dense, VIEW, FEATURES, load_features(snapshot, root, FEATURES).item)
    for name in ("items_T", "actions_T", "times_T", *SIDE):
        assert torch.equal(getattr(served, name), getattr(trained, name)), name
    with pytest.raises(DataContractError, match="row 0: 1 times for a history of 2 items"):
        batch_of_histories([History(["i1", "i2"], times=[5])], dense, VIEW, FEATURES, None)


def test_lists_of_executors_evaluation_and_server_are_the_same(world, trained, tmp_path):
    root, snapshot, events = world
    pq.write_table(counted(events, "item", FEATURES.item), tmp_path / "part-0.parquet")
    pq.write_table(pa.table({"segment": [""], "item": [8], "count": [5]}), tmp_path / "popular")
    raw = [f"i{item}" for item in range(1, ITEMS + 1)]
    sums = load_features(snapshot, root, FEATURES).item
    name = store_bundle(tmp_path / "models", ranker(), raw, snapshot_id="s", lineage="l", of_items=sums)
    open_scorer.cache_clear()
    rules = ScoreRules(
        bundle=str(tmp_path / "models" / name), manifest=name, popular=str(tmp_path / "popular"), items=ITEMS, k=K,
        batch_users=2, max_length=50, history_actions=(VIEW, CART, PURCHASE), collapse_repeats=False, seen_actions=(),
        seen_from=None, features=FEATURES, item_sums=str(tmp_path / "part-0.parquet"),
    )  # fmt: skip
    rows = [row for batch in list_scorer(rules)(iter([scoring_rows(world)])) for row in batch.to_pylist()]
    listed = {user: [(row["item_id"], row["score"]) for row in rows if row["user"] == user] for user in events}
    bundle = load_bundle(tmp_path / "models" / name, name)
    ids_BK, scores_BK = bundle.best(trained, K)
    for row, user in enumerate(events):
        best = zip(ids_BK[row].tolist(), scores_BK[row].tolist(), strict=True)
        wanted = [(f"i{item}", pytest.approx(score, rel=1e-4)) for item, score in best]
        assert listed[user] == wanted
        assert bundle.recommend_many([told(user, *events[user])], [K], filter_seen=False)[0] == wanted


def test_a_snapshot_without_what_the_ranker_reads_is_refused(world):
    root, snapshot, _ = world
    other = FEATURES.model_copy(update={"item": ("cart_7d",)})
    with pytest.raises(DataContractError, match=r"part item_features of snapshot \w+ does not hold cart"):
        load_features(snapshot, root, other)
    bare = snapshot.model_copy(update={"parts": {"valid": snapshot.parts["valid"]}})
    with pytest.raises(DataContractError, match="pins no part user_features"):
        load_features(bare, root, FEATURES)


def test_a_champion_codes_attributes_by_its_own_list(world):
    root, snapshot, _ = world
    other = FEATURES.model_copy(update={"attributes": (Attribute(name="country", values=("fr", "at", "de")),)})
    found = load_features(snapshot, root, other).attributes
    assert dict(zip(found.users.tolist(), found.codes[:, 0].tolist(), strict=True)) == {1: 1, 2: 3, 4: 0}
    assert found.codes.tolist() == coded(other, [COUNTRIES[user] for user in (1, 2, 4)]).tolist()
