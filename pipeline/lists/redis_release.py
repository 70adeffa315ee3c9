"""A release in Redis: whole under its own prefix first, then one pointer is switched. Readers never see a mix.

`<prefix>:current` names a release. `<prefix>:<release>:users`, `:similar` and `:popular` are hashes: a user, item or segment
-> a JSON list of rows. `<prefix>:<release>:meta` is there once the others are whole. What is not current expires.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

import pyarrow as pa

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.erasures import erased_rows
from nightrank.feature_store.contracts.errors import ConfigError, ConflictError, DataContractError, DependencyUnreachable
from nightrank.feature_store.contracts.failpoints import failpoint
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.secrets import without_credentials
from nightrank.feature_store.contracts.tables import POPULAR_ITEMS, RECOMMENDATIONS, SIMILAR_ITEMS, TableRef

PREFIX: Final = "nightrank"
KEPT_SECONDS: Final = 7 * 86_400
BATCH: Final = 1000
"""Fields that are sent together."""
SECONDS: Final = 10.0
"""An answer of Redis comes within this time, or Redis is gone."""
KINDS: Final = ("users", "similar", "popular")
Fields = Iterator[tuple[str, str]]


class RedisReleases:
    """Of one Redis and prefix. ConfigError where the address or the password is wrong, or the extra is not installed."""

    def __init__(self, address: str, prefix: str = PREFIX, kept_seconds: int = KEPT_SECONDS) -> None:
        try:
            import redis
        except ModuleNotFoundError:
            raise ConfigError("redis is not installed", "pip install 'nightrank[redis]'") from None
        self.address, self.prefix, self.kept_seconds = without_credentials(address), prefix, kept_seconds
        try:
            self._redis: Any = redis.Redis.from_url(
                address, decode_responses=True, socket_timeout=SECONDS, socket_connect_timeout=SECONDS
            )
        except ValueError as error:
            raise ConfigError(f"--redis: {error}", "write it as redis://host:6379/0") from None

    def current(self) -> str | None:
        """The id of the release that readers see."""
        with self._reached():
            found: str | None = self._redis.get(f"{self.prefix}:current")
            return found

    def publish(self, lake: Lake, release: Release, progress: Callable[[int], None] = lambda fields: None) -> dict[str, Any]:
        """Readers see this release. What Redis holds whole already is only switched to; what was cut off is written again.

        DependencyUnreachable where Redis goes away: readers still see the release before. ConflictError where a newer one is
        current.
        """
        with self._reached():
            meta = self._redis.hgetall(self._key(release, "meta"))
            written = not meta
            if written:
                self._write(lake, release, progress)
            failpoint("publish.before_switch")
            replaced = self._switch(release)
        return {
            "release_id": release.release_id,
            "date": release.date,
            "users": release.users,
            "written": written,
            "replaced": replaced,
        }

    def of_user(self, user_id: str) -> list[dict[str, Any]]:
        """As any reader does it: the user's rows in the current release."""
        with self._reached():
            text = self._redis.hget(f"{self.prefix}:{self.current()}:users", user_id)
            return json.loads(text) if text else []

    def remove_user(self, names: tuple[str, ...]) -> int:
        """How many releases held a list under one of the names; none does afterwards, current or not."""
        with self._reached():
            keys = self._redis.scan_iter(match=f"{re.escape(self.prefix)}:*:users")
            return sum(self._redis.hdel(key, *names) for key in keys)

    def _key(self, release: Release | str, kind: str) -> str:
        return f"{self.prefix}:{release if isinstance(release, str) else release.release_id}:{kind}"

    def _write(self, lake: Lake, release: Release, progress: Callable[[int], None]) -> None:
        self._redis.unlink(*[self._key(release, kind) for kind in KINDS])
        erased = erased_rows(lake, release.release_id)[0]
        done, users = 0, release.users - erased
        for kind, fields in _fields(lake, release).items():
            key, count = self._key(release, kind), 0
            while batch := dict(islice(fields, BATCH)):
                self._redis.pipeline().hset(key, mapping=batch).expire(key, self.kept_seconds).execute()
                count, done = count + len(batch), done + len(batch)
                progress(done)
            held = self._redis.hlen(key)
            if held != count or (kind == "users" and count != users):
                raise DataContractError(
                    f"Redis holds {held} {kind} of release {release.release_id[:12]}; {count} were sent, {users} released",
                    "nothing was switched; give the same command again, then run `nightrank verify`",
                )
        if erased_rows(lake, release.release_id)[0] != erased:  # its lists may have been written after they were removed here
            raise ConflictError("a user was erased while the release was written", "nothing was switched; give it again")
        facts = {"date": release.date, "users": release.users, "rows": release.rows, "fence": release.fence}
        self._redis.pipeline().hset(self._key(release, "meta"), mapping=facts).expire(
            self._key(release, "meta"), self.kept_seconds
        ).execute()

    def _switch(self, release: Release) -> str | None:
        """In one transaction: the pointer, no end of what is current, an end of what was."""
        pointer = f"{self.prefix}:current"
        with self._redis.pipeline() as together:
            together.watch(pointer)
            before = together.get(pointer)
            fence = int(together.hget(self._key(before, "meta"), "fence") or 0) if before else 0
            if before != release.release_id and fence > release.fence:
                raise ConflictError(
                    f"Redis holds release {before[:12]} of fence {fence}, newer than {release.fence}",
                    "publish the current release",
                )
            together.multi()
            together.hset(self._key(release, "meta"), "fence", release.fence)
            for kind in (*KINDS, "meta"):
                together.persist(self._key(release, kind))
                if before and before != release.release_id:
                    together.expire(self._key(before, kind), self.kept_seconds)
            together.set(pointer, release.release_id)
            together.execute()
        return before if before != release.release_id else None

    @contextmanager
    def _reached(self) -> Iterator[None]:
        from redis import exceptions as redis_errors

        try:
            yield
        except redis_errors.AuthenticationError as error:
            raise ConfigError(f"Redis refused the password: {error}", "check user and password in --redis") from None
        except redis_errors.WatchError:
            raise ConflictError("another publish switched Redis meanwhile", "give the same command again") from None
        except (redis_errors.RedisError, OSError) as error:
            raise DependencyUnreachable(
                f"Redis: {error}", "readers still see the release before; give the same command again when Redis is back"
            ) from None


def _fields(lake: Lake, release: Release) -> dict[str, Fields]:
    return {
        "users": _rows(
            lake, RECOMMENDATIONS, release.recommendations_version, c.USER_ID, (c.ITEM_ID, c.SCORE, c.FALLBACK, c.LIST_ID)
        ),
        "similar": _rows(lake, SIMILAR_ITEMS, release.similar_items_version, c.ITEM_ID, (c.SIMILAR_ID, c.SCORE, c.REASON)),
        "popular": _rows(lake, POPULAR_ITEMS, release.popular_items_version, c.SEGMENT, (c.ITEM_ID, c.COUNT)),
    }


def _rows(lake: Lake, table: TableRef, version: int | None, key: str, columns: tuple[str, ...]) -> Fields:
    """Each key with its rows, best first, a file at a time: a key's rows are in one file."""
    if version is None:
        return
    for path in delta_read.files_of(lake, table.name, version):
        stored = delta_read.dataset(lake, table.name, [path], table.schema).to_table(
            columns=[*dict.fromkeys((key, c.RANK, *columns))]
        )
        yield from _grouped(stored.sort_by([(key, "ascending"), (c.RANK, "ascending")]), key, columns)


def _grouped(rows: pa.Table, key: str, columns: tuple[str, ...]) -> Fields:
    mine: list[dict[str, Any]] = []
    last: str | None = None
    for row in (row for batch in rows.to_batches(max_chunksize=65_536) for row in batch.to_pylist()):
        if last is not None and row[key] != last:
            yield last, json.dumps(mine, ensure_ascii=False)
            mine = []
        last = row[key]
        mine.append({name: row[name] for name in columns if row[name] is not None})
    if last is not None:
        yield last, json.dumps(mine, ensure_ascii=False)
