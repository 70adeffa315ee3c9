"""A program: what each input adds to a click ranker's probability. For processes that import no engine; JSON in, JSON out."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.one_answer import one_answer
from nightrank.ranker.ctr.attributed import attributions
from nightrank.ranker.ctr.bundle import load_ctr_bundle


def explained(request: dict[str, Any]) -> dict[str, Any]:
    """`action`, `probability`, `base` and `inputs` [[name, its value, what it adds]], the largest first, of one `row` by the
    bundle in `folder`. Inputs that the row does not have are unknown."""
    bundle = load_ctr_bundle(Path(request["folder"]), request["manifest"])
    shapes, row = bundle.ranker.shapes, request["row"]
    action = request["action"] or shapes.labels[0]
    if action not in shapes.labels:
        raise UsageError(f"the click ranker does not predict {action!r}", f"it predicts {', '.join(shapes.labels)}")
    numbers = [number.name for number in shapes.numeric if number.name in row or bundle.sums is None]
    columns = {
        **{field.name: pa.array([row.get(field.name)], pa.string()) for field in shapes.fields},
        **{name: pa.array([row.get(name)], pa.float32()) for name in numbers},
        "history": pa.array([row.get("history") or []], pa.list_(pa.string())),
        "event_time": pa.array([row["event_time"]], pa.int64()),
        **{name: pa.array([row.get(name)], pa.string()) for name in ("user", "item")},
    }
    table = bundle.with_aggregates(pa.table(columns))
    missing = {name: pa.nulls(1, pa.float32()) for name in (n.name for n in shapes.numeric) if name not in table.column_names}
    for name, values in missing.items():
        table = table.append_column(name, values)
    found = attributions(bundle, table, action)
    told = {name: table[name][0].as_py() for name in found.inputs}
    inputs = sorted(([name, told[name], added] for name, added in found.inputs.items()), key=lambda each: -abs(each[2]))
    return {"action": action, "probability": found.probability, "base": found.base, "inputs": inputs}


def main() -> int:
    return one_answer(lambda text: explained(json.loads(text)))


if __name__ == "__main__":
    raise SystemExit(main())
