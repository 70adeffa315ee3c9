"""What a lake remembers of its imports: clock, id type, time zone and sources; and whether it can take another one."""

import os

from nightrank.feature_store.contracts.errors import ConfigError, UsageError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.spark_jobs.sources.chunks import Source
from nightrank.spark_jobs.sources.times import zone


def meta_of(lake: Lake, source: Source, timezone: str | None) -> dict[str, str]:
    """What `landing/meta.json` will say. ConfigError where the lake holds data of another clock, id type or time zone."""
    old = lake.landing_meta() if lake.landing_meta_path.exists() else {}
    for name, mine in (("clock", source.clock), ("id_type", source.id_type)):
        if old.get(name, mine) != mine:
            raise ConfigError(
                f"lake {lake.root} holds data with {name} {old[name]}, this input has {mine}",
                "import into another lake (--root), or set the same id_type in the mapping",
            )
    known = old.get("timezone")
    if timezone is not None and known is not None and timezone != known:
        raise ConfigError(
            f"lake {lake.root} has days in the time zone {known}, but --timezone is {timezone}",
            f"leave --timezone out (the lake's {known} is then used), or import into another lake (--root)",
        )
    chosen = timezone or known or "UTC"
    zone(chosen)
    names = sorted({source.name, *filter(None, old.get("source", "").split("+"))})
    return {"clock": source.clock, "id_type": source.id_type, "source": "+".join(names), "timezone": chosen}


def check_place(lake: Lake) -> None:
    """UsageError where nothing could be written into the lake: a dry run finds that out too."""
    if not lake.root.is_local:
        lake.root.store.children(lake.root.key)  # an absent bucket, or one that this process may not use, is named here
        return
    root = lake.root.path
    for path in (root, root / "landing"):
        if (path.exists() or path.is_symlink()) and not path.is_dir():
            raise UsageError(f"{path} is not a folder, so nothing can land there", "name a folder with --root")
    try:
        existing = next(path for path in (root / "landing", root, *root.parents) if path.exists())
    except OSError:
        raise UsageError(f"lake {lake.root} cannot be opened", "name a folder with --root") from None
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise UsageError(f"{existing} cannot be written to, so nothing can land there", "name another folder with --root")
