"""The named models of conf/models, made small."""

from pathlib import Path

from nightrank.feature_store.contracts.config import merged, overlay

CONF = Path(__file__).resolve().parents[1] / "conf" / "models"
NAMES = sorted(path.stem for path in CONF.glob("*.yaml") if "trainer" in merged([path], []))
CUT = {
    "batch_rows": 16,
    "fit": {"epochs": 3, "learning_rate": 1e-2, "warmup_steps": 2, "patience": None},
    "refit": {"epochs": 1, "warmup_steps": 1},
    "checkpoint": {"every_steps": 3},
}


def small(name):
    """The model's own file with narrow layers."""
    tree = merged([CONF / f"{name}.yaml"], [])["trainer"]
    tree = overlay(tree, {"model": {"width": 16 * tree["model"].get("ensemble_size", 1)}, **CUT})
    encoder, head, item = tree["model"]["encoder"], tree["model"].get("head", {}), tree["model"].get("item", {})
    for part, key in ((encoder, "hidden"), (head, "hidden"), (item, "tower")):
        if key in part:
            part[key] = [24] if isinstance(part[key], list) else 24
    if "negatives" in tree.get("loss", {}):
        tree["loss"]["negatives"] = 16
    return tree
