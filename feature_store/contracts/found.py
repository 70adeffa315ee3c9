"""What a run found in the lake when it was opened: its stages depend on that, even if the lake changes meanwhile."""

from datetime import date

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.model_ref import ModelRef, load_model_ref


class Found(FrozenConfig):
    """Stands in run.json. The run's own promotion changes nothing of it."""

    champion: ModelRef | None = None
    """None before the first promotion."""
    last_full: ModelRef | None = None
    """What the newest other full run up to the run's date registered."""
    newer: str | None = None
    """The date of what is current, where that is later than the run's: such a run is a back-fill."""
    list_rules: int | None = None
    """Version of the table of a shop's rules that the run's lists follow; None where there is none."""
    without_events: bool = False
    """Items or users landed on the date of a night, and no event that a run has not taken in: what changed of the catalogue
    reaches the lists, and the model stays."""


def last_full(lake: Lake, run_id: str, day: date) -> ModelRef | None:
    """What the newest other full run up to this date registered; None where there is none."""
    refs = []
    for path in lake.root.glob("runs/*/model_ref.json"):
        ref = load_model_ref(path)
        if ref.run_id == run_id or ref.date > day.isoformat():
            continue
        if read_json(path.parent / "run.json")["kind"] == "full":
            refs.append(ref)
    return max(refs, key=lambda ref: (ref.date, ref.version), default=None)
