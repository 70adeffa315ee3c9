"""Where a lake stands: on a disk or in a bucket. Nothing else in nightrank reads or writes a lake's files by itself."""

from nightrank.feature_store.contracts.storage.location import Location, locate
from nightrank.feature_store.contracts.storage.store import Entry, Store, Stored, Version

__all__ = ["Entry", "Location", "Store", "Stored", "Version", "locate"]
