"""`nightrank` with stages that do next to nothing, under the names of the real ones; for `python -P -m nightrank.pipeline.cli`.

Run by a program that looks like a Python: `fake_python FOLDER` writes it. The body of a stage is in FOLDER/stages.json.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from nightrank.pipeline import cli
from nightrank.pipeline.commands import requests
from nightrank.pipeline.progress import LineProgress
from nightrank.pipeline.runner import Runner
from nightrank.pipeline.stages import STAGES
from tests.unit.pipeline_fakes import write_stage


def main() -> None:
    folder = Path(os.environ["NIGHTRANK_FAKES"])
    bodies = json.loads((folder / "stages.json").read_text())
    stages = tuple(replace(stage, module=f"fake_{stage.name}", engine="plain") for stage in STAGES)
    stages = tuple(stage for stage in stages if stage.name in bodies.get("only", [stage.name]))
    for stage in stages:
        write_stage(folder, stage.name, bodies.get(stage.name, "pass"))
    requests.runner = lambda: Runner(stages, LineProgress(), finish=())
    cli.main()


if __name__ == "__main__":
    del sys.argv[1:4]  # -P -m nightrank.pipeline.cli
    main()
