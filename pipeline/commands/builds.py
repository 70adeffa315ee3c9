"""`horovod`: what pip cannot install ready-made."""

from typing import Annotated

import typer

from nightrank.pipeline.commands.options import Json


def horovod(
    wheel_only: Annotated[bool, typer.Option("--wheel-only", help="Build the wheel, do not install it.")] = False,
    as_json: Json = False,
) -> None:
    """Build Horovod against the torch of this Python, and install it. Needs no checkout, but a C++17 compiler.

    It takes a few minutes, once per machine: the wheel is kept under NIGHTRANK_CACHE (default ~/.cache/nightrank).

    Example: nightrank horovod
    """
    from nightrank.pipeline.horovod_build.build import build_wheel, install
    from nightrank.pipeline.output import out, print_json

    wheel = build_wheel()
    if not wheel_only:
        install(wheel)
    if as_json:
        print_json({"wheel": str(wheel), "installed": not wheel_only})
    else:
        out(f"{wheel}\n{'built' if wheel_only else 'Horovod is installed in this Python'}")
