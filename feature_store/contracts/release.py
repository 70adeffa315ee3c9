"""Release: one appended row that says which model, vocabulary, data and lists are current. The truth about what is live."""

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.tables import POPULAR_ITEMS, RECOMMENDATIONS, SIMILAR_ITEMS


class Release(FrozenConfig):
    release_id: str
    run_id: str
    date: str
    model_name: str
    model_version: int
    manifest_sha256: str
    vocabulary_version: int
    data_version: int
    """Version of `interactions` the lists were made from."""
    recommendations_version: int
    list_rules_version: int | None = None
    """Version of the shop's rules that the lists follow; None where there were none."""
    similar_items_version: int | None = None
    popular_items_version: int | None = None
    """None in releases that have no such lists."""
    snapshot_id: str
    fence: int
    users: int
    rows: int
    fallback: dict[str, int]
    lists_sha256: str
    """Content hash of the lists, so `verify` can tell them from others."""

    @property
    def label(self) -> str:
        """For people: how its id begins, and its date."""
        return f"{self.release_id[:12]} of {self.date}"

    @property
    def lists(self) -> dict[str, int]:
        """The versions of the tables of lists that are released, by name."""
        versions = {
            RECOMMENDATIONS.name: self.recommendations_version,
            SIMILAR_ITEMS.name: self.similar_items_version,
            POPULAR_ITEMS.name: self.popular_items_version,
        }
        return {name: version for name, version in versions.items() if version is not None}
