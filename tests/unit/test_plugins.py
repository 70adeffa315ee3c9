"""A package of one's own, installed in a folder: its encoder and its loss train, and the bundle loads where it is installed."""

import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.plugins import ENCODERS, LOSSES, origin, plugin
from nightrank.ranker.batch import Batch
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.ranker.compose import compose
from nightrank.ranker.config.encoders import PluginEncoderConfig
from nightrank.ranker.config.ranker import LossConfig, RankerConfig
from nightrank.ranker.inputs import ItemInputs
from nightrank.trainer.worker.phases import train
from tests.training_jobs import job_of, small_lake, training_of

PACKAGE = Path(__file__).parents[1] / "plugin_package"
ENCODER = {"name": "plugin", "plugin": "running_mean", "settings": {"scale": 2.0}}
LOSS = {"name": "plugin", "plugin": "hinge", "negatives": 16, "settings": {"margin": 1.0}}


def install(target: Path) -> None:
    """What `pip install --target` leaves: the module, and the package's metadata with its entry points."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    info = target / f"shop_rankers-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [f"[{group}]\n" + "".join(f"{name} = {at}\n" for name, at in points.items()) for group, points in groups]
    (info / "entry_points.txt").write_text("\n".join(lines))
    shutil.copy(PACKAGE / "shop_rankers.py", target)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    install(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield tmp_path / "site"
    sys.modules.pop("shop_rankers", None)


def test_a_plug_in_trains_and_its_bundle_names_it_and_loads_again(installed, tmp_path, monkeypatch):
    root = tmp_path / "lake"
    job = job_of(root, small_lake(root), {"model": {"encoder": ENCODER}, "loss": LOSS, "fit": {"epochs": 2}})
    state = train(training_of(job))
    losses = state.curves["fit"].loss
    assert 0 < losses[-1] < losses[0]
    folder = root / "models" / state.bundles["live"]
    bundle = load_bundle(folder)
    assert bundle.info.plugins == {"shop-rankers": "1.2"} and type(bundle.encoder).__name__ == "RunningMean"
    listed, _ = bundle.best(Batch.from_lists([[1, 2, 3]]), 5)
    assert len(set(listed[0].tolist())) == 5
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(installed)])
    with pytest.raises(ConfigError, match=r"needs the plug-in package shop-rankers 1\.2, which is not installed") as caught:
        load_bundle(folder)
    assert caught.value.exit_code == 2 and "pip install shop-rankers==1.2" in caught.value.remedy


def test_another_version_than_the_bundles_is_refused(installed, tmp_path):
    from nightrank.feature_store.contracts.plugins import check_installed

    assert origin(LOSSES, "hinge") == {"shop-rankers": "1.2"}
    check_installed({"shop-rankers": "1.2"}, "bundle x")
    with pytest.raises(ConfigError, match=r"bundle x needs shop-rankers 1\.1, and 1\.2 is installed"):
        check_installed({"shop-rankers": "1.1"}, "bundle x")


def test_a_name_that_nobody_offers_is_named_with_those_that_are(installed):
    with pytest.raises(ConfigError, match=r"offers other in nightrank.encoders \(offered: not_an_encoder, running_mean\)"):
        plugin(ENCODERS, "other")


def test_what_is_no_encoder_is_refused(installed):
    config = RankerConfig(width=8, encoder=PluginEncoderConfig(plugin="not_an_encoder"))
    with pytest.raises(ConfigError, match="made a object, not a UserEncoder"):
        compose(config, ItemInputs(4))


@pytest.mark.parametrize("given", [{"name": "plugin"}, {"name": "bpr", "plugin": "hinge"}])
def test_a_plug_in_loss_is_named_or_not_at_all(given):
    with pytest.raises(ValueError, match=r"needs loss\.plugin"):
        LossConfig(**given)
