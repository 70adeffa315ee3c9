"""The service: /recommend, /similar, /popular and /health over what a Keeper holds. Every request has limits."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Annotated, Any, Final

from fastapi import Body, FastAPI, HTTPException, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from nightrank.feature_store.contracts.errors import NightrankError
from nightrank.pipeline.serve.served import Keeper

MOST_ITEMS: Final = 100
MOST_HISTORY: Final = 200
MOST_BYTES: Final = 64 << 10
Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]
K = Annotated[int, Query(ge=1, le=MOST_ITEMS)]
Message = MutableMapping[str, Any]
Asgi = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


class Session(BaseModel):
    """Somebody's actions, oldest item first; nobody needs to be known."""

    model_config = ConfigDict(extra="forbid")
    history: Annotated[list[Id], Field(min_length=1, max_length=MOST_HISTORY)]
    k: Annotated[int, Field(ge=1, le=MOST_ITEMS)] = 10


def service(keeper: Keeper) -> FastAPI:
    """422 for what breaks a limit, 413 for a body of more than 64 KiB, 404 for an item without a list, 503 without a model."""
    app = FastAPI(title="nightrank", docs_url=None, redoc_url=None)
    app.add_middleware(_Smaller)

    @app.exception_handler(NightrankError)
    async def failed(_: Any, error: NightrankError) -> JSONResponse:
        return JSONResponse({"error": error.to_json()}, status_code=503)

    @app.get("/recommend")
    async def recommend(user: Annotated[Id, Query()], k: K = 10) -> dict[str, Any]:
        return keeper.now.recommend(user, k)

    @app.post("/recommend")
    def of_session(session: Annotated[Session, Body()]) -> dict[str, Any]:
        return keeper.of_history(session.history, session.k)

    @app.get("/similar")
    async def similar(item: Annotated[Id, Query()], k: K = 10) -> dict[str, Any]:
        answer = keeper.now.like(item, k)
        if not answer["known"]:
            raise HTTPException(404, f"release {answer['release_id']} has no items like this one")
        return answer

    @app.get("/popular")
    async def popular(segment: Annotated[str, Query(max_length=256)] = "", k: K = 10) -> dict[str, Any]:
        return {"segment": segment, **keeper.now.of_popular(segment, k)}

    @app.get("/health")
    async def health() -> JSONResponse:
        release, fault = keeper.now.release, keeper.fault
        body = {"status": "behind" if fault else "ok", "release_id": release.release_id, "date": release.date, "fault": fault}
        return JSONResponse(body, status_code=503 if fault else 200)

    return app


class _Smaller:
    """Answers 413 as soon as a body grows beyond the limit, whatever length it announces."""

    def __init__(self, app: Asgi) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        parts: list[Message] = []
        size = 0
        while True:
            parts.append(message := await receive())
            size += len(message.get("body", b""))
            if size > MOST_BYTES:
                return await JSONResponse({"detail": f"a body has {MOST_BYTES} bytes at most"}, 413)(scope, receive, send)
            if not message.get("more_body"):
                break

        async def again() -> Message:
            return parts.pop(0) if parts else await receive()

        await self.app(scope, again, send)
