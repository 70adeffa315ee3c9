"""`nightrank import --guess`: the proposed mapping to a file or to stdout, and ten rows as they would land."""

from pathlib import Path
from typing import Any

from nightrank.feature_store.contracts.errors import UsageError


def answer_guess(file: Path, target: Path | None, as_json: bool, dry_run: bool) -> None:
    """The mapping goes to `target`, which must be new, else to stdout, so that it can be redirected; the rest to stderr."""
    from nightrank.pipeline.output import err, out, print_json
    from nightrank.spark_jobs.sources.guess.look import guess

    if target is not None and (target.exists() or not target.absolute().parent.is_dir()):
        what = "exists" if target.exists() else "is in a folder that does not exist"
        raise UsageError(f"--mapping {target} {what}", "--guess writes a new file: name another one")
    found = guess(file)
    if target is not None and not dry_run:
        target.write_text(found.text, encoding="utf-8")
    if as_json:
        print_json({"mapping": found.text, "section": found.section, "rows": found.rows, "detected": found.detected})
        return
    for text in found.detected:
        err(f"detected: {text}")
    out(found.text, end="")
    err(f"\nThe first {len(found.rows)} rows as they would land:")
    for line in rows_as_text(found.rows):
        err(line)
    if found.section == "items":
        more = (
            "or import them alone with `nightrank import items`; `complete: true` says that the file holds every item there is"
        )
        err(f"\nThese are items: put the section beside `events:`, with `path: FILE` in each, {more}.")


def rows_as_text(rows: list[dict[str, Any]]) -> list[str]:
    """Columns of equal width; what is missing is a dash."""
    cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)] if rows else []
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return " ".join(text.split())[:40]
