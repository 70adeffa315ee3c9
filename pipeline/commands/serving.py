"""`serve`: the current release over HTTP."""

from typing import Annotated

import typer

from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.commands.options import DEFAULT_ROOT, Config, Root, Set


def serve(
    root: Root = DEFAULT_ROOT,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0: a free one.")] = 8000,
    follow: Annotated[float, typer.Option("--follow", min=0.1, help="Seconds between looks for a new release.")] = 5.0,
    config: Config = None,
    overrides: Set = None,
) -> None:
    """Answer /recommend, /similar, /popular and /health from the current release until interrupted.

    A new release is followed without a restart. Needs the extra: pip install 'nightrank[serve]'.

    Examples:

      nightrank serve --root lake --port 8000

      curl 'localhost:8000/recommend?user=u17&k=5'

      curl localhost:8000/recommend -H 'content-type: application/json' -d '{"history": ["i3", "i8"]}'
    """
    try:
        import uvicorn

        from nightrank.pipeline.serve.app import service
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is not installed", "pip install 'nightrank[serve]'") from None
    from nightrank.pipeline.serve.served import Keeper

    keeper = Keeper(Lake(root), config or [], overrides or [], follow)
    keeper.start()
    try:
        uvicorn.run(service(keeper), host=host, port=port, log_level="warning", access_log=False)
    finally:
        keeper.end()
