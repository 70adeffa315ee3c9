"""`nightrank rules`: a shop's rules in the lake, replaced by a file as a whole, or shown. Starts no JVM."""

from pathlib import Path
from typing import Any

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.list_rules import ListRule
from nightrank.feature_store.contracts.tables import LIST_RULES
from nightrank.feature_store.rule_rows import check_named, read_rules, write_rules
from nightrank.pipeline.lists.rule_file import read_rule_file


def import_rules(lake: Lake, path: Path, *, dry_run: bool = False) -> dict[str, Any]:
    """The lake's rules are those of the file: `version`, `rules`, and which were `added` and `removed`.

    DataContractError, and nothing is written, where a row is no rule or names what the lake does not have.
    """
    lake.landing_meta()
    placed = read_rule_file(path)
    check_named(lake, placed)
    version = delta_read.table_version(lake, LIST_RULES.name)
    before, after = read_rules(lake, version), tuple(rule for rule, _ in placed)
    written = version if dry_run else write_rules(lake, after)
    return {
        "status": "planned" if dry_run else "done",
        "version": written,
        "rules": len(after),
        "added": [rule.label for rule in after if rule not in before],
        "removed": [rule.label for rule in before if rule not in after],
    }


def current_rules(lake: Lake) -> dict[str, Any]:
    """`version`, None before the first import, and the `rules`."""
    version = delta_read.table_version(lake, LIST_RULES.name)
    return {"version": version, "rules": [_shown(rule) for rule in read_rules(lake, version)]}


def _shown(rule: ListRule) -> dict[str, Any]:
    return {"label": rule.label, **rule.model_dump(mode="json", exclude_defaults=True)}
