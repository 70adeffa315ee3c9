"""The model a run made, and the one that made its lists: bundles whole, and everybody names the same ones."""

from nightrank.feature_store.contracts.files import sha256_at
from nightrank.feature_store.contracts.manifests import listed
from nightrank.feature_store.contracts.model_ref import ModelRef, load_model_ref
from nightrank.feature_store.contracts.storage import Location
from nightrank.pipeline.checks.check import NotApplicable, Subject, expect

PROMOTED = ("first", "promoted")


def bundle(subject: Subject) -> str:
    """Each file of the run's bundle has the sha256 in its manifest, and the manifest is what the bundle is called by."""
    ref = _ref(subject)
    return _whole(subject.lake.root / ref.bundle, ref.manifest_sha256)


def live_bundle(subject: Subject) -> str:
    """The same for the bundle that made the lists, which is another one where the champion stayed."""
    return _whole(subject.lake.bundles / subject.release.manifest_sha256, subject.release.manifest_sha256)


def ctr_bundle(subject: Subject) -> str:
    """The same for the run's click ranker, where it has one."""
    reported = subject.result.get("ctr")
    if reported is None:
        raise NotApplicable("the run trained no click ranker")
    return _whole(subject.lake.bundles / reported["manifest_sha256"], reported["manifest_sha256"])


def model_ref(subject: Subject) -> str:
    """Reference, result and snapshot agree."""
    ref, reported = _ref(subject), subject.section("model")
    for name in ("name", "version", "manifest_sha256"):
        mine = getattr(ref, name)
        expect(mine == reported[name], f"model_ref.json says {name} {mine}, result.json {reported[name]}")
    expect(ref.run_id == subject.run_id, f"model_ref.json is of run {ref.run_id}")
    snapshot_id = subject.section("snapshot")["id"]
    expect(ref.snapshot_id == snapshot_id, "the model was trained on another snapshot than the run's")
    return f"{ref.name} version {ref.version}"


def promotion(subject: Subject) -> str:
    """A promoted model made the lists; one that was not promoted did not. A night without events has the champion it found."""
    if subject.without_events:
        return _champion_stayed(subject)
    ref, release, decision = _ref(subject), subject.release, subject.section("gate")["decision"]
    live = f"{release.model_name} version {release.model_version}"
    same = (release.model_version, release.manifest_sha256) == (ref.version, ref.manifest_sha256)
    expect(same == (decision in PROMOTED), f"the gate says {decision} of version {ref.version}, and {live} made the lists")
    return f"{decision}; {live} made the lists{_more(subject)}"


def _champion_stayed(subject: Subject) -> str:
    release, found = subject.release, subject.run["found"]["champion"]
    live = f"{release.model_name} version {release.model_version}"
    same = (release.model_name, release.model_version) == (found["name"], found["version"])
    expect(same, f"the run trained no model and found version {found['version']}, and {live} made the lists")
    return f"no challenger; {live} made the lists{_more(subject)}"


def _more(subject: Subject) -> str:
    """The ranker, and what of the catalogue it did not score; DataContractError where result.json names another model."""
    named = subject.section("release").get("model")
    if named is None:
        return ""
    for name, mine in (("version", subject.release.model_version), ("manifest_sha256", subject.release.manifest_sha256)):
        expect(named[name] == mine, f"result.json says the lists are of {name} {named[name]}, the release {mine}")
    left_out = f", {named['items_not_scored']} items not scored" if named["items_not_scored"] else ""
    return f" (ranker {named['ranker']}{left_out})"


def _ref(subject: Subject) -> ModelRef:
    path = subject.folder / "model_ref.json"
    if not path.exists() and subject.result["status"] == "nothing":
        raise NotApplicable("nothing landed, so no model was made")
    if subject.result["status"] == "held":
        raise NotApplicable("the day is held back, so no model was made")
    if subject.result.get("back_fill_of"):
        raise NotApplicable("a back-fill takes data in and makes no model")
    if subject.without_events:
        raise NotApplicable("no event landed, so no model was trained")
    expect(path.exists(), f"{path} is missing")
    return load_model_ref(path)


def _whole(folder: Location, name: str) -> str:
    manifest = folder / "manifest.json"
    expect(manifest.exists(), f"{manifest} is missing")
    expect(sha256_at(manifest) == name, f"{manifest} is not the manifest {name[:12]}")
    files = listed(folder)
    for file, sha256 in files.items():
        expect((folder / file).exists(), f"{folder / file} is missing")
        expect(sha256_at(folder / file) == sha256, f"{folder / file} has another sha256 than its manifest says")
    return f"{name[:12]}, {len(files)} files"
