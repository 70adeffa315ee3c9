"""Who has no released list: an unknown user, a session's history; and many users at once."""

import json
from pathlib import Path

import pytest
from finished_run import USERS, K, finished_run, write_release

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline import anonymous
from nightrank.pipeline.cli import _run
from nightrank.pipeline.recommend import of_session, recommendations
from tests.evaluation_lake import bundle


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A released lake whose model is a real ranker over items i1..i40; its catalogue has items i1..i6."""
    found = finished_run(tmp_path_factory.mktemp("others") / "lake")
    manifest = Path(bundle(found.root.path, seed=1)).name
    first = delta_read.releases(found)[0]
    write_release(found, first.model_copy(update={"manifest_sha256": manifest, "fence": 2}))
    return found


def test_an_unknown_user_gets_the_most_popular_items_and_is_told(lake: Lake) -> None:
    known, unknown = recommendations(lake, USERS[0], [], []), recommendations(lake, "nobody", [], [], k=5)
    assert known["known"] and not unknown["known"]
    assert {item["fallback"] for item in unknown["items"]} == {"popular"}
    assert [item["score"] for item in unknown["items"]] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    assert unknown["release_id"] == known["release_id"]


def test_a_session_gets_what_the_model_lists_for_its_items_without_them(lake: Lake) -> None:
    first, second = of_session(lake, ["i3", "i8"], 5), of_session(lake, ["i8", "i3"], 5)
    assert {item["fallback"] for item in first["items"]} == {"session"} and len(first["items"]) == 5
    assert not {"i3", "i8"} & {item["item_id"] for item in first["items"]}
    assert [item["score"] for item in first["items"]] != [item["score"] for item in second["items"]], "the order counts"
    assert {item["fallback"] for item in of_session(lake, ["unheard-of"], 3)["items"]} == {"popular"}


def test_what_is_not_on_sale_is_in_no_such_list(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [item["item_id"] for item in of_session(lake, ["i3"], 3)["items"]]
    monkeypatch.setattr(anonymous, "hidden_from", lambda lake, release: before[:1])
    assert [item["item_id"] for item in of_session(lake, ["i3"], 2)["items"]] == before[1:]


def test_a_file_of_users_is_answered_in_its_order_each_once(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ids").write_text(f"{USERS[1]}\n\nnobody\n {USERS[0]} \n{USERS[1]}\n")
    assert _run(["recommend", "--root", str(lake.root), "--users", str(tmp_path / "ids"), "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)["lists"]
    assert [(answer["user"], answer["known"]) for answer in answers] == [
        (USERS[1], True),
        ("nobody", False),
        (USERS[0], True),
    ]
    assert [len(answer["items"]) for answer in answers] == [K, 10, K]


@pytest.mark.parametrize("words", [[], ["--user", "u", "--history", "i1"], ["--history"], ["i1"], ["--users", "/nowhere"]])
def test_wrong_use_ends_with_2(lake: Lake, words: list[str]) -> None:
    assert _run(["recommend", "--root", str(lake.root), *words]) == 2


def test_a_lake_whose_model_is_gone_says_so(tmp_path: Path) -> None:
    lake = finished_run(tmp_path / "lake")
    with pytest.raises(DataContractError, match="does not name"):
        recommendations(lake, "nobody", [], [])
