"""`nightrank …`: the commands. Nothing heavy is imported before a command needs it, so help is there at once."""

import errno
import os
import sys
from typing import Annotated, Any, Final

import typer

from nightrank.feature_store.contracts.errors import NightrankError, UsageError
from nightrank.pipeline.commands import (
    builds,
    data,
    demos,
    erasures,
    explaining,
    listings,
    looks,
    orchestration,
    plans,
    publishing,
    ranks,
    recommending,
    replays,
    resets,
    rollbacks,
    rules,
    runs,
    serving,
    tunes,
)

WRONG_USE: Final[Any] = typer.BadParameter.__mro__[1]
"""The parser's own UsageError, whichever copy of click this typer brings."""
FULL: Final = (errno.ENOSPC, errno.EDQUOT)

app = typer.Typer(
    name="nightrank",
    help="Recommendations from your events, renewed every night: Spark, Delta Lake, Petastorm, Horovod, PyTorch and MLflow.",
    epilog="Exit codes: 0 done, 1 unexpected, 2 wrong use or configuration, 3 nothing to do, 4 data breaks its contract, "
    "5 another run is using this lake, 6 training stalled, 7 new model rejected or day held back, 8 a service is unreachable, "
    "9 refused because data would be lost.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(show: bool) -> None:
    if show:
        from nightrank.pipeline.output import out
        from nightrank.pipeline.run.facts import commit, versions

        out(f"nightrank {versions(('nightrank',))['nightrank']} (commit {commit() or 'unknown: not a checkout'})")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and the commit.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Options before a command."""


app.command("doctor")(looks.doctor)
app.command("horovod")(builds.horovod)
app.command("import")(data.import_)
app.command("simulate")(data.simulate)
app.command("full")(runs.full)
app.command("nightly")(runs.nightly)
app.command("replay")(replays.replay)
app.command("stage")(runs.stage)
app.command("join")(ranks.join)
app.add_typer(orchestration.app, name="run")
app.add_typer(rules.app, name="rules")
app.command("rollback")(rollbacks.rollback)
app.command("reset-vocabulary")(resets.reset_vocabulary)
app.command("erase")(erasures.erase)
app.command("tune")(tunes.tune)
app.command("plan")(plans.plan)
app.command("demo")(demos.demo)
app.command("recommend")(recommending.recommend)
app.command("serve")(serving.serve)
app.command("publish")(publishing.publish)
app.command("explain")(explaining.explain)
app.command("lineage")(listings.lineage)
app.command("export")(listings.export)
app.command("verify")(looks.verify)
app.command("config")(looks.config)


def main(argv: list[str] | None = None) -> None:
    """Runs one command and ends the process with its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    code = _run(arguments or ["--help"])
    raise SystemExit(code if arguments else 2)


def _run(arguments: list[str]) -> int:
    as_json = "--json" in arguments
    try:
        code = app(arguments, prog_name="nightrank", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except WRONG_USE as error:
        return _fault(UsageError(error.format_message(), _help_of(error)), as_json)
    except typer.Exit as end:
        return end.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:  # the reader of stdout went away; not ours to complain about
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except NightrankError as error:
        return _fault(error, as_json)
    except Exception as error:
        return _fault(_unexpected(error), as_json)


def _unexpected(error: Exception) -> NightrankError:
    """A full disk is named without a traceback: there may be no room for one."""
    if isinstance(error, OSError) and error.errno in FULL:
        return NightrankError(
            f"the disk is full: {error}", "make room, then give the same command again: finished stages are kept"
        )
    return NightrankError(f"{type(error).__name__}: {error}", f"the traceback is in {_traceback()}")


def _fault(error: NightrankError, as_json: bool) -> int:
    from nightrank.pipeline.output import print_fault

    print_fault(error, as_json)
    return error.exit_code


def _help_of(error: Any) -> str:
    return f"`{error.ctx.command_path} --help` shows what it takes" if error.ctx else "`nightrank --help` lists the commands"


def _traceback() -> str:
    """The traceback in a file of its own, so that the message stays short. It holds no secret that this process knows."""
    import tempfile
    import traceback

    from nightrank.feature_store.contracts.redaction import redactor

    with tempfile.NamedTemporaryFile("w", prefix="nightrank-", suffix=".log", delete=False) as log:
        log.write(redactor()(traceback.format_exc()))
    return log.name


if __name__ == "__main__":
    main()
