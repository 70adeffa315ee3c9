"""Where a lake stands: on a disk or in a bucket. Nothing else in nightrank reads or writes a lake's files by itself."""

from nightrank.feature_store.contracts.storage.addresses import lake_root, locate
from nightrank.feature_store.contracts.storage.location import Location
from nightrank.feature_store.contracts.storage.node_cache import discard, local_copy, local_folder, workplace
from nightrank.feature_store.contracts.storage.store import Entry, Store, Stored, Version

__all__ = [
    "Entry",
    "Location",
    "Store",
    "Stored",
    "Version",
    "discard",
    "lake_root",
    "local_copy",
    "local_folder",
    "locate",
    "workplace",
]
