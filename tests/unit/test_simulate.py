"""The market: the same seed gives the same bytes, days do not depend on how many there are, and taste rules over popularity."""

from collections import Counter
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.files import sha256_file
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.landing_files import OPTIONAL
from nightrank.pipeline.simulate import catalogue, population, simulate
from nightrank.pipeline.simulate.config import market
from nightrank.pipeline.simulate.sessions import visits
from nightrank.pipeline.simulate.truth import TruthItems, TruthUsers, load_items, load_users, true_scores
from nightrank.pipeline.simulate.words import CATEGORIES, STYLES

START = date(2025, 3, 3)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    root = tmp_path_factory.mktemp("market")
    return root, simulate(root, preset="tiny")


def contents(root):
    return {str(p.relative_to(root)): sha256_file(p) for p in root.rglob("*.parquet")}


def events_of(root, day):
    return pq.read_table(Lake(root).landing_day("events", day), partitioning=None)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tiny, tmp_path):
    simulate(tmp_path / "a", preset="tiny")
    assert contents(tmp_path / "a") == contents(tiny[0])
    simulate(tmp_path / "b", preset="tiny", seed=18)
    mine, other = contents(tiny[0]), contents(tmp_path / "b")
    assert mine.keys() == other.keys() and not set(mine.values()) & set(other.values())


def test_a_market_grows_by_days_and_old_days_stay(tiny, tmp_path):
    simulate(tmp_path, preset="tiny", days=3)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "landing").rglob("*.parquet")}
    simulate(tmp_path, preset="tiny", days=8)
    assert contents(tmp_path) == contents(tiny[0])
    assert all(p.stat().st_mtime_ns == old for p, old in before.items())
    assert simulate(tmp_path, preset="tiny", days=2) == tiny[1] | {"written": 0}


def test_a_half_made_market_is_finished(tiny, tmp_path):
    simulate(tmp_path, preset="tiny")
    for path in [*(tmp_path / "landing").rglob("*.parquet")][::3]:
        path.unlink()
    simulate(tmp_path, preset="tiny")
    assert contents(tmp_path) == contents(tiny[0])


def test_landing_keeps_its_contract(tiny):
    root, counts = tiny
    lake = Lake(root)
    items = pa.schema([field for field in schemas.LANDING_ITEMS if field.name not in OPTIONAL])
    expected = {"events": schemas.LANDING_EVENTS, "items": items, "users": schemas.LANDING_USERS}
    for kind, schema in expected.items():
        assert lake.landing_days(kind) == [START + timedelta(days=d) for d in range(8)]
        tables = [pq.read_table(lake.landing_day(kind, day), partitioning=None) for day in lake.landing_days(kind)]
        assert all(table.schema.equals(schema) for table in tables)
        assert sum(len(table) for table in tables) == counts[kind]
    assert lake.landing_meta() == {"clock": "real", "id_type": "string", "source": "simulate", "timezone": "UTC"}


def test_what_goes_wrong_goes_wrong(tiny):
    root, counts = tiny
    days = Lake(root).landing_days("events")
    every = [dict(row, day=day) for day in days for row in events_of(root, day).to_pylist()]
    known = Counter(row["event_id"] for row in every)
    late = [r for r in every if r["event_time"].date() < r["day"]]
    assert min(counts[name] for name in ("late", "duplicates", "broken")) > 0
    assert 0 < sum(n - 1 for n in known.values()) <= counts["duplicates"]
    assert {r["availability_time"].date() for r in late if r["availability_time"]} <= set(days)
    assert all(r["availability_time"] is None or r["availability_time"].date() == r["day"] for r in every)
    broken = [r for r in every if r["event_id"].startswith("x")]
    assert len(broken) == counts["broken"]
    assert any(r["user_id"] is None for r in broken) and any(r["event_time"].date() > r["day"] for r in broken)
    clean = [r for r in every if not r["event_id"].startswith("x")]
    assert all(r["user_id"] and r["item_id"] and r["event_time"].date() <= r["day"] for r in clean)


def test_sessions_are_funnels_of_one_user_on_known_items(tiny):
    root, _ = tiny
    table = events_of(root, START).to_pylist()
    items = load_items(Lake(root))
    born = dict(zip(items.item_id, items.available_from_I, strict=True))
    rows = [r for r in table if not r["event_id"].startswith("x")]
    actions = Counter(r["action"] for r in rows)
    assert actions["view"] > actions["click"] > actions["cart"] > actions["purchase"] > 0 and actions["impression"] > 0
    assert all(born[r["item_id"]] <= np.datetime64(START) for r in rows)
    owners = {}
    assert all(owners.setdefault(r["session_id"], r["user_id"]) == r["user_id"] for r in rows)
    shown = [r for r in rows if r["action"] == "impression"]
    assert all(r["list_id"] and r["propensity"] == r["position"] ** -0.6 for r in shown)
    assert all((r["value"] is not None) == (r["action"] == "purchase") for r in rows)


def test_integer_ids_lie_past_2_to_53(tmp_path):
    simulate(tmp_path, preset="tiny", days=2, id_type="int64")
    users = pc.unique(events_of(tmp_path, START)["user_id"]).to_pylist()
    numbers = [int(u) for u in users if u and u.isdigit()]
    assert min(numbers) > 2**53 and len({float(n) for n in numbers}) < len(numbers)
    assert Lake(tmp_path).landing_meta()["id_type"] == "int64"


def test_true_scores_by_hand():
    day = np.array(["2025-01-01", "2025-01-01", "2025-01-02", "2025-01-01"], "datetime64[D]")
    style = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
    items = TruthItems(np.array(list("abcd")), np.array([0, 0, 0, 1]), style, np.array([0.0, np.log(2), 0.0, 0.0]), day)
    users = TruthUsers(np.array(["u"]), np.array([[0, 1]]), np.array([[0.75, 0.25]]), np.array([[np.log(3), 0.0]]))
    # Category 0: e^score = 3, 2 (and 1 from the second day on); category 1 has one item.
    assert true_scores(items, users, date(2025, 1, 1)) == pytest.approx(np.array([[0.45, 0.3, 0.0, 0.25]]))
    assert true_scores(items, users, date(2025, 1, 2)) == pytest.approx(np.array([[0.375, 0.25, 0.125, 0.25]]))


def test_true_scores_are_chances_and_may_be_had_in_pieces(tiny):
    lake = Lake(tiny[0])
    items, users = load_items(lake), load_users(lake, START + timedelta(days=7))
    whole = true_scores(items, users, START + timedelta(days=7))
    assert whole.sum(axis=1) == pytest.approx(np.ones(len(users)), abs=1e-6) and (whole >= 0).all()
    pieces = [true_scores(items, users[at : at + 50], START + timedelta(days=7)) for at in range(0, len(users), 50)]
    assert np.concatenate(pieces) == pytest.approx(whole, abs=1e-12)
    assert (whole[:, items.available_from_I > np.datetime64(START + timedelta(days=7))] == 0).all()


def test_first_items_of_sessions_are_drawn_from_the_truth():
    config = market("tiny", {"users": 20_000, "daily_active": 16_000, "items": 60, "days": 1})
    goods, today = catalogue.build(config), next(population.days(config))
    users = today.truth(config)
    seen = visits(config, today, users, goods.truth)
    first = seen.step_V == 0
    drawn = np.bincount(seen.item_V[first], minlength=len(goods.truth.item_id))
    chances = true_scores(goods.truth, users[seen.user_V[first]], config.start)
    expected, std = chances.sum(axis=0), np.sqrt((chances * (1 - chances)).sum(axis=0))
    assert np.abs(drawn - expected).max() < 4.5 * std[np.abs(drawn - expected).argmax()] + 1
    later = np.bincount(seen.item_V[~first], minlength=len(goods.truth.item_id))
    assert np.corrcoef(later, true_scores(goods.truth, users[seen.user_V[~first]], config.start).sum(axis=0))[0, 1] > 0.99


def ndcg(ranked, targets):
    gains = 1 / np.log2(np.arange(2, 12))
    return sum(g for g, item in zip(gains, ranked, strict=True) if item in targets) / gains[: min(10, len(targets))].sum()


def test_knowing_a_users_taste_is_worth_more_than_twice_popularity(tmp_path):
    """NDCG@10 on the items of the last day that are new to the user; the oracle ranks by the truth."""
    simulate(tmp_path, preset="demo", days=8)
    lake, last = Lake(tmp_path), START + timedelta(days=7)
    items, users = load_items(lake), load_users(lake, last)
    column = {name: i for i, name in enumerate(items.item_id)}
    popular, history, targets = np.zeros(len(column)), {}, {}
    for day in lake.landing_days("events"):
        for row in events_of(tmp_path, day).select(["user_id", "item_id", "action", "event_time"]).to_pylist():
            if row["action"] == "view" and row["user_id"] and row["item_id"] and row["event_time"].date() <= last:
                item = column[row["item_id"]]
                if row["event_time"].date() == last:
                    targets.setdefault(row["user_id"], set()).add(item)
                else:
                    history.setdefault(row["user_id"], set()).add(item)
                    popular[item] += 1
    row_of = {name: i for i, name in enumerate(users.user_id)}
    found = {"truth": [], "popular": []}
    for user, wanted in targets.items():
        seen = history.get(user, set())
        if wanted - seen:
            truth = true_scores(items, users[[row_of[user]]], last)[0]
            for name, scores in (("truth", truth), ("popular", popular.copy())):
                scores[list(seen)] = -1
                found[name].append(ndcg(np.argsort(-scores, kind="stable")[:10].tolist(), wanted - seen))
    assert len(found["truth"]) > 500
    assert np.mean(found["truth"]) > 2 * np.mean(found["popular"]) > 0.02
    top = np.sort(popular)[::-1]
    assert top[: len(top) // 10].sum() > 0.35 * top.sum(), "popularity has a heavy head"


def test_taste_drifts_a_bit_every_day(tiny):
    lake = Lake(tiny[0])
    first, second, last = (load_users(lake, START + timedelta(days=d)) for d in (0, 1, 7))
    old = len(first)
    assert first.user_id.tolist() == last.user_id[:old].tolist() and len(last) > old

    def alike(users):
        norms = np.linalg.norm(first.style_US, axis=1) * np.linalg.norm(users.style_US[:old], axis=1)
        return ((first.style_US * users.style_US[:old]).sum(axis=1) / norms).mean()

    assert 1 > alike(second) > alike(last) > 0.5


def test_titles_and_texts_tell_category_and_style(tiny):
    lake = Lake(tiny[0])
    rows = pq.read_table(lake.landing_day("items", START), partitioning=None).to_pylist()
    truth = load_items(lake)
    told = 0
    for i, row in enumerate(rows):
        category, style = CATEGORIES[truth.category_I[i]], STYLES[truth.style_IS[i].argmax()]
        assert row["categories"] == [category.name, category.group] and row["price"] > 0
        assert any(noun in row["title"] for noun in category.nouns) and category.name in row["text"]
        told += any(row["title"].startswith(word) for word in style.adjectives) and style.sentence in row["text"]
    assert told / len(rows) > 0.97


@pytest.mark.parametrize(
    ("overrides", "says"),
    [({"preset": "huge"}, "preset 'huge'"), ({"usrs": 5}, "usrs"), ({"late_share": 2}, "late_share"), ({"users": 1}, "users")],
)
def test_wrong_values_are_named(tmp_path, overrides, says):
    with pytest.raises(ConfigError, match=says):
        simulate(tmp_path, **overrides)
    assert list(tmp_path.iterdir()) == []


def test_a_lake_holds_one_market(tiny, tmp_path):
    with pytest.raises(ConfigError, match=r"holds another market: seed=17"):
        simulate(tiny[0], preset="tiny", seed=3)
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing/meta.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds imported data"):
        simulate(tmp_path, preset="tiny")


def test_a_dry_run_writes_nothing(tmp_path):
    assert simulate(tmp_path, preset="tiny", days=2, dry_run=True)["events"] > 100
    assert list(tmp_path.iterdir()) == []
