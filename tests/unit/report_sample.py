"""A result.json as a night on a simulated market leaves it, with every section filled; made from a fixed seed."""

import math
import random

HOLDOUT = {"challenger": 0.0712, "champion": 0.0641}
TEST = {
    "challenger": 0.0931,
    "last_full": 0.0874,
    "item_cooccurrence": 0.0702,
    "als": 0.0588,
    "popular_7d": 0.0331,
    "truth": 0.1324,
}
FACTORS = {
    ("ndcg", 10): 1.0,
    ("recall", 10): 1.62,
    ("recall", 20): 2.3,
    ("mrr", 10): 0.79,
    ("map", 10): 0.74,
    ("hit_rate", 10): 1.9,
}


def metric_row(recommender, split, name, k, value, n, slice_name="all"):
    half = 1.96 * math.sqrt(value * 0.3 / max(n, 1))
    row = {"recommender": recommender, "split": split, "slice": slice_name, "name": name, "k": k, "n": n}
    if not n:
        return {**row, "value": None, "ci": None, "note": "not decidable"}
    note = {"note": "few rows"} if n < 200 else {}
    return {**row, "value": round(value, 5), "ci": [round(value - half, 5), round(value + half, 5)], **note}


def metric_rows():
    rows = [
        metric_row(recommender, "test", name, k, base * f, 4871)
        for recommender, base in TEST.items()
        for (name, k), f in FACTORS.items()
    ]
    rows += [metric_row(recommender, "holdout", "ndcg", 10, base, 512) for recommender, base in HOLDOUT.items()]
    for recommender, base in TEST.items():
        rows.append(metric_row(recommender, "test", "ndcg", 10, base * 0.4, 143, "cold_items"))
        rows.append(metric_row(recommender, "test", "ndcg", 10, base * 0.8, 1210, "history_6_20"))
    return rows


def stage(name, seconds, rows_in, rows_out, written, tables=()):
    return {
        "name": name,
        "status": "done",
        "exit_code": 0,
        "attempt": 1,
        "seconds": seconds,
        "rows_in": rows_in,
        "rows_out": rows_out,
        "bytes_read": written * 2,
        "bytes_written": written,
        "tables": [{"name": t, "from": a, "to": b, "content_sha256": f"{hash_of(t)}"} for t, a, b in tables],
    }


def hash_of(text):
    return random.Random(text).randbytes(32).hex()


def stages():
    return [
        stage("ingest_events", 14.2, 61_734, 60_911, 4_100_000, [("events", 6, 7), ("items", 6, 7), ("users", 6, 7)]),
        stage("build_features", 11.8, 60_911, 60_911, 3_300_000, [("vocabulary", 6, 7), ("interactions", 6, 7)]),
        stage("embed_items", 6.1, 41, 41, 88_000, [("item_embeddings", 6, 7)]),
        stage("build_training_set", 9.4, 402_118, 6_204, 1_900_000, [("examples_train", 6, 7), ("examples_holdout", 6, 7)]),
        stage("score_baselines", 12.7, 402_118, 15_042, 900_000, [("baseline_lists", 6, 7)]),
        stage("train", 71.3, 6_204, 0, 9_800_000),
        stage("register", 3.9, 1, 1, 0),
        stage("evaluate", 8.2, 4_871, 62, 0),
        stage("gate", 2.4, 512, 1, 0),
        stage("score_users", 10.9, 5_611, 56_110, 2_100_000, [("recommendations", 13, 14)]),
        stage("release", 2.2, 56_110, 1, 3_000, [("releases", 6, 7)]),
        stage("maintain_tables", 4.4, 0, 0, 0),
    ]


def sample_result():
    return {
        "schema": "nightrank/result/1",
        "run_id": "nightly-2026-03-12",
        "kind": "nightly",
        "date": "2026-03-12",
        "status": "done",
        "exit_code": 0,
        "error": None,
        "commit": hash_of("commit")[:40],
        "config_sha256": hash_of("config"),
        "seed": 17,
        "versions": {"python": "3.11.7", "pyspark": "4.0.5", "delta-spark": "4.0.1", "torch": "2.12.1", "horovod": "0.28.1"},
        "machine": {"host": "secret-host", "system": "Linux 6.1", "architecture": "x86_64", "cpus": 2, "memory_gib": 23.4},
        "stages": stages(),
        "counts": {
            "events": 60_911,
            "duplicates": 512,
            "late": 1_377,
            "quarantined": {"event_in_the_future": 188, "user_id_missing": 61, "unknown_action": 43, "value_not_a_number": 19},
            "new_users": 118,
            "new_items": 41,
            "texts_encoded": 41,
            "texts_cut": 3,
        },
        "ingest": {
            **{"landed": 61_427, "events": 60_911, "duplicates": 512, "erased": 0, "quarantined": 4, "unreadable": {}},
            "faults": [
                {
                    "table": "events",
                    "column": "item_id",
                    "reason": "null_item_id",
                    "rows": 4,
                    "samples": [f"landing/events/day=2026-03-0{day}/market.parquet: item_id=None" for day in (1, 2, 3)],
                }
            ],
        },
        "snapshot": {
            "id": hash_of("s"),
            "path": "snapshots/x.json",
            "rows": {"train": 6_204, "holdout": 512},
            "kind": "nightly",
        },
        "training": {
            "backend": "horovod",
            "reader": "petastorm",
            "launcher": "horovodrun",
            "world_size": 2,
            "steps": [388, 388],
            "rows_read": [9_306, 9_306],
            "dropped": 0,
            "resumed_from": None,
            "parent_model": "nightrank v6",
        },
        "model": {"name": "nightrank", "version": 7, "manifest_sha256": hash_of("m")},
        "metrics": metric_rows(),
        "gate": {
            "decision": "promoted",
            "reasons": ["the interval of the difference lies above −0.0020"],
            "delta": 0.0071,
            "ci": [0.0012, 0.0133],
            "n": 512,
            "challenger_ndcg": 0.0712,
            "champion_ndcg": 0.0641,
        },
        "release": {
            "id": "2026-03-12-7-14",
            "recommendations_version": 14,
            "users": 5_611,
            "rows": 56_110,
            "fallback": {"no_history": 118, "history_too_short": 46},
            "catalogue": {"items_version": 7, "listed": 5_540, "unavailable": 12, "vanished": 31},
            "model": {
                "name": "nightrank",
                "version": 7,
                "manifest_sha256": hash_of("m"),
                "trained_by": "nightly-2026-03-12",
                "ranker": "transformer",
                "settings": {"width": 128, "head": "dot", "blocks": 2},
                "items_not_scored": 0,
                "note": None,
            },
        },
        "report": None,
    }


def sample_curves():
    noise = random.Random(5)
    steps = list(range(1, 1201))
    loss = [round(3.1 + 4.2 * math.exp(-s / 260) + noise.gauss(0, 0.09), 4) for s in steps]
    valid = [
        {"step": s, "ndcg@10": round(0.094 * (1 - math.exp(-s / 300)) + noise.gauss(0, 0.0009), 5)}
        for s in range(100, 1201, 100)
    ]
    short = [round(3.05 + 0.3 * math.exp(-s / 40) + noise.gauss(0, 0.07), 4) for s in range(120)]
    return {
        "fit": {"step": steps, "loss": loss, "valid": valid},
        "refit": {"step": list(range(120)), "loss": short, "valid": []},
    }


def sample_users():
    nouns = [
        "Lantern",
        "Kettle",
        "Rain Jacket",
        "Trail Shoes",
        "Desk Lamp",
        "Chess Set",
        "Field Notes",
        "Headphones",
        "Tea Sampler",
    ]
    words = ["Amber", "Quiet", "Northern", "Folding", "Everyday", "Tiny", "Wool", "Harbour", "Second-Hand", "Evening"]
    pick = random.Random(11)

    def title():
        return f"{pick.choice(words)} {pick.choice(nouns)}"

    def ranked():
        return [{"title": title(), "score": round(7.2 - 0.4 * i - pick.random() / 4, 3)} for i in range(10)]

    return [
        {"user": "u-918273645", "history": [title() for _ in range(23)], "list": ranked(), "fallback": None},
        {"user": "u-555000111", "history": [title() for _ in range(4)], "list": ranked(), "fallback": None},
        {"user": "u-123123123", "history": [], "list": ranked(), "fallback": "no_history"},
    ]


def sample_lists(hostile="Lamp </script><img src=x onerror=boom()>"):
    """What the report's stage leaves of a night's lists: four users, one without a history, one title that is markup."""
    things = ["Kettle", "Chess", "Tea", "Rope", "Hat", "Sled", "Pen", "Cup"]
    names = {f"i{n}": f"Folding {thing}" for n, thing in enumerate(things, 1)} | {"i2": hostile}
    items = {
        item: {"title": title, "category": "home", "price": 4.5, "now": n, "before": 9 - n, "similar": []}
        for n, (item, title) in enumerate(names.items(), 1)
    }
    items["i1"]["similar"] = [["i2", "cosine 0.81"], ["i3", "chosen together"]]

    def user(label, history, now, before, fallback=None):
        rows = [[item, 5.0 - place, []] for place, item in enumerate(now)]
        rows[0][2] = [["like", "i1", "cosine 0.81"]] if history else []
        return {"label": label, "fallback": fallback, "taken": None, "history": history, "list": rows, "before": before}

    users = [
        user("User 1", [["i1", "purchase"]], ["i2", "i3", "i4"], ["i4", "i5", "i6"]),
        user("User 2", [["i7", "view"], ["i1", "click"]], ["i3", "i4", "i5"], ["i4", "i3", "i5"]),
        user("User 3", [["i8", "view"]], ["i6", "i5", "i4"], ["i6", "i5", "i4"]),
        user("User 4", [], ["i1", "i2", "i3"], [], "no_history"),
    ]
    moved = [{"item_id": "i2", "now": 1_204, "before": 310}, {"item_id": "i5", "now": 88, "before": 640}]
    totals = {"users_of": 5_611, "items_of": 5_583, "compared": 5_611, "since": "2026-03-11"}
    return {
        "changes": {"since": "2026-03-11", "compared": 5_493, "changed": 1_611, "shared": 0.83, "items": moved},
        "explorer": {"users": users, "items": items, **totals},
    }


def sample_nights():
    """Figures of eleven quiet nights before the sample's."""
    noise = random.Random(3)
    return [
        (
            f"2026-03-{day:02}",
            {
                "events": 60_000 + noise.randrange(-4_000, 4_000),
                "put aside": 0.005 + noise.random() / 500,
                "this model": 0.09 + noise.random() / 200,
                "best baseline": 0.07 + noise.random() / 300,
                "changed": 0.25 + noise.random() / 10,
                "fallback": 0.03 + noise.random() / 200,
            },
        )
        for day in range(1, 12)
    ]
