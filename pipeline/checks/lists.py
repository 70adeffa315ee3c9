"""The lists of a run's release: every known user's, whole, all of one release, and as many as the release says."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.erasures import PREFIX, erased_rows
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.scoring_settings import ScoringSettings
from nightrank.feature_store.contracts.settings import MaintenanceSettings
from nightrank.feature_store.contracts.storage import local_copy
from nightrank.feature_store.contracts.tables import ITEMS, RECOMMENDATIONS, VOCABULARY
from nightrank.pipeline.checks.check import NotApplicable, Subject, expect


def release(subject: Subject) -> str:
    """result.json and the releases table name the same release."""
    mine, body = subject.release, subject.section("release")
    expect(mine.release_id == body["id"], f"result.json names release {body['id']}, the table {mine.release_id}")
    for name in ("recommendations_version", "users", "rows"):
        expect(getattr(mine, name) == body[name], f"release {name}: table {getattr(mine, name)}, result.json {body[name]}")
    expect(mine.snapshot_id == subject.section("snapshot")["id"], "the release names another snapshot than the run's")
    current = subject.releases[-1].release_id == mine.release_id
    return f"{mine.release_id}, {'current' if current else 'superseded'}"


def complete(subject: Subject) -> str:
    """Ranks 1..n without a gap, no item twice, no list longer than k, and the totals of the release."""
    mine, rows = subject.release, _rows(subject)
    gone_users, gone_rows = erased_rows(subject.lake, mine.release_id)
    released = mine.rows - gone_rows
    expect(rows.num_rows == released, f"{rows.num_rows} rows at version {mine.recommendations_version}, released {released}")
    lists = rows.group_by(c.USER_ID).aggregate(
        [(c.RANK, "min"), (c.RANK, "max"), (c.RANK, "count_distinct"), (c.ITEM_ID, "count_distinct"), (c.ITEM_ID, "count")]
    )
    users = mine.users - gone_users
    expect(lists.num_rows == users, f"{lists.num_rows} users have a list, released {users}")
    count = lists[f"{c.ITEM_ID}_count"]
    for name, column in (
        ("ranks", f"{c.RANK}_count_distinct"),
        ("ranks", f"{c.RANK}_max"),
        ("items", f"{c.ITEM_ID}_count_distinct"),
    ):
        broken = pc.sum(pc.not_equal(pc.cast(lists[column], pa.int64()), count)).as_py() or 0
        expect(broken == 0, f"{broken} lists have {name} with a gap or twice")
    expect((pc.min(lists[f"{c.RANK}_min"]).as_py() or 1) == 1, "a list does not start at rank 1")
    k = subject.config.section("scoring", ScoringSettings).k
    longest = pc.max(count).as_py() or 0
    expect(longest <= k, f"a list has {longest} items, asked for {k}")
    short = pc.sum(pc.less(count, k)).as_py() or 0
    return f"{users:,} lists, {released:,} rows" + (f", {short:,} shorter than {k}" if short else "")


def one_release(subject: Subject) -> str:
    names = pc.unique(_rows(subject)[c.RELEASE_ID]).to_pylist()
    expect(names == [subject.release.release_id], f"the rows are of releases {', '.join(map(str, names))}")
    return str(names[0])


def every_user(subject: Subject) -> str:
    """Who is in the vocabulary, and was not erased, has a list."""
    mine = subject.release
    subject.of_this_vocabulary(mine.snapshot_id)
    known = _read(subject, VOCABULARY.name, mine.vocabulary_version, [c.RAW_ID], ds.field(c.KIND) == "user")
    known = known.filter(pc.invert(pc.starts_with(known[c.RAW_ID], PREFIX)))
    listed = pc.unique(_rows(subject)[c.USER_ID])
    without = pc.sum(pc.invert(pc.is_in(known[c.RAW_ID], value_set=listed))).as_py() or 0
    expect(without == 0, f"{without} of {known.num_rows} known users have no list")
    return f"{known.num_rows:,} known users"


def on_sale(subject: Subject) -> str:
    """No list has an item that the catalogue of that night called unavailable, or that its newest complete export lacked."""
    catalogue = subject.section("release").get("catalogue")
    if catalogue is None:
        raise NotApplicable("the run is of a version that did not look at what is on sale")
    columns = [c.ITEM_ID, c.AVAILABLE, c.LISTED, c.COMPLETE]
    off = off_sale(_at(subject, ITEMS.name, catalogue["items_version"], columns))
    shown = pc.sum(pc.is_in(_rows(subject)[c.ITEM_ID], value_set=off)).as_py() or 0
    expect(shown == 0, f"{shown} rows of the lists hold an item that is not on sale")
    return f"{catalogue['unavailable']:,} unavailable and {catalogue['vanished']:,} vanished items in no list"


def off_sale(items: pa.Table) -> pa.Array:
    """Ids by the rule of scoring, once more."""
    if not items.num_rows:
        return pa.array([], pa.string())
    newest = pc.max(items[c.COMPLETE])
    gone = pc.fill_null(pc.less(items[c.LISTED], newest), newest.is_valid)
    off = pc.fill_null(pc.invert(items[c.AVAILABLE]), False)
    return items.filter(pc.or_(gone, off))[c.ITEM_ID].combine_chunks()


def content(subject: Subject) -> str:
    """The release was made of the very lists that were scored."""
    mine = subject.release
    record = next(stage for stage in subject.result["stages"] if stage["name"] == "score_users")
    scored = [table for table in record["tables"] if table["name"] == RECOMMENDATIONS.name]
    if not scored:
        raise NotApplicable("score_users recorded no table")
    sha256 = scored[-1]["content_sha256"]
    expect(sha256 == mine.lists_sha256, f"scored {sha256}, released {mine.lists_sha256}")
    return str(sha256)[:12]


def _rows(subject: Subject) -> pa.Table:
    """Ids and ranks of all lists at the released version."""
    columns = [c.USER_ID, c.ITEM_ID, c.RANK, c.RELEASE_ID]
    return _at(subject, RECOMMENDATIONS.name, subject.release.recommendations_version, columns)


def _at(subject: Subject, name: str, version: int, columns: list[str]) -> pa.Table:
    """A table at a version of the run; NotApplicable once maintenance may have taken its files."""
    try:
        return _read(subject, name, version, columns)
    except (DataContractError, FileNotFoundError):
        if subject.expired(subject.config.section("maintenance", MaintenanceSettings).keep_releases):
            raise NotApplicable("the release has expired, and maintenance has taken its lists") from None
        raise


def _read(subject: Subject, name: str, version: int, columns: list[str], rows: ds.Expression | None = None) -> pa.Table:
    folder = subject.lake.table(name)
    paths = [str(local_copy(folder / path)) for path in delta_read.files_of(subject.lake, name, version)]
    return ds.dataset(paths, format="parquet").to_table(columns=columns, filter=rows) if paths else pa.table({})
