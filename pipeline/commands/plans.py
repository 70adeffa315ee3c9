"""`plan`: what a training would take, before it takes it."""

from typing import Annotated, Any, Final

import typer

from nightrank.pipeline.commands.options import Config, Json, Set

GIB: Final = 2**30
ROWS: Final = {
    "weights": "weights",
    "gradient": "gradient",
    "optimizer": "optimizer state",
    "rows": "rows of the item table in a step",
    "inputs": "inputs of items",
    "activations": "activations of a micro-batch, at most",
    "catalogue": "vectors of all items, at most",
    "copies": "copies for a checkpoint under way",
    "peak": "peak of a rank",
    "wire_per_step": "sent by a rank in a step",
}
PLACED: Final = {
    "replicate": "the table of item ids is whole on every rank",
    "replicate_rows": "the table of item ids is whole on every rank, and only the rows of a step travel",
    "shard": "the table of item ids is shared out by row: each of {ranks} ranks holds 1/{ranks} of it",
}


def plan(
    items: Annotated[int, typer.Option("--items", min=1, help="Items of the vocabulary.")],
    config: Config = None,
    overrides: Set = None,
    world_size: Annotated[
        int | None, typer.Option("--world-size", min=1, help="Number of ranks; default: trainer.workers.")
    ] = None,
    users: Annotated[int, typer.Option("--users", min=0, help="Users of the vocabulary, for rankers with a user table.")] = 0,
    text_width: Annotated[int, typer.Option("--text-width", min=0, help="Width of the items' text vectors; 0: no texts.")] = 0,
    memory: Annotated[
        float | None,
        typer.Option("--memory", min=0.001, help="GiB that one rank may take; default: this machine's, shared by its ranks."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what each training rank would hold and send. No weight is allocated.

    Counts weights, gradient, optimizer state, activations and the peak of a rank on fake tensors, beyond the memory of a
    process with all libraries loaded. If the peak does not fit, names settings that make it fit.

    Exit code 0 if it fits, 2 if it does not.

    Examples:

      nightrank plan --config models/sasrec --items 1000000 --world-size 2

      nightrank plan --config models/gru --items 5000000 --memory 8 --json
    """
    from nightrank.pipeline.output import print_json
    from nightrank.pipeline.plan import planned

    answer = planned(config or [], overrides or [], items, users, text_width, world_size, memory)
    print_json(answer) if as_json else _show(answer)
    raise typer.Exit(answer["exit_code"])


def _show(answer: dict[str, Any]) -> None:
    from nightrank.pipeline.output import out, table

    rows = [(name, f"{answer['bytes'][key] / 2**20:,.1f} MiB") for key, name in ROWS.items()]
    table(f"{answer['ranker']}, {answer['items']:,} items, {answer['world_size']} ranks", ("of each rank", "size"), rows)
    out(PLACED[answer["table"]].format(ranks=answer["world_size"]))
    limit = f"{answer['memory_bytes'] / GIB:.2f} GiB"
    if answer["fits"]:
        out(f"it fits into {limit} a rank")
        return
    out(f"it does not fit into {limit} a rank")
    remedy = " ".join(f"--set {setting}" for setting in answer["remedy"])
    out(
        f"  it would with: {remedy}"
        if remedy
        else "  no setting alone makes it fit: use machines with more memory, or fewer items"
    )
