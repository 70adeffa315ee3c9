"""The page's explorer in a real browser, with clicks and keys; and what opens the page, by hand."""

import json
import re
import subprocess

import pytest

from nightrank.pipeline.report.lists_view import changed, explorer
from nightrank.pipeline.report.morning import morning
from nightrank.pipeline.report.page import render
from tests.unit.report_sample import sample_curves, sample_lists, sample_nights, sample_result, sample_users
from tests.unit.test_report_page import parsed
from tests.unit.test_report_picture import CHROMIUM, FLAGS

browser = pytest.mark.skipif(CHROMIUM is None, reason="no browser; apt-get install -y chromium")
VISIT = """<script>
const seen = {};
const panelText = () => document.getElementById("explorer-panel").innerText.replace(/\\s+/g, " ");
const people = () => [...document.querySelectorAll("#explorer-users button")];
const key = (place, name) => place.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
seen.people = people().map(each => each.textContent);
people()[0].click();
seen.user = panelText();
seen.heading = document.activeElement.textContent;
seen.pressed = people().map(each => each.getAttribute("aria-pressed"));
document.querySelector("#explorer-panel .history button").click();
seen.item = panelText();
document.querySelector("#explorer-panel .similar button").click();
seen.similar = panelText();
document.querySelector("#explorer-panel .holders button").click();
seen.holder = document.activeElement.textContent;
key(document.activeElement, "Escape");
seen.back = document.activeElement.textContent;
key(document.activeElement, "ArrowRight");
seen.next = document.activeElement.textContent;
key(document.activeElement, "ArrowLeft"); key(document.activeElement, "ArrowLeft");
seen.round = document.activeElement.textContent;
const search = document.getElementById("explorer-search");
const type = text => { search.value = text; search.dispatchEvent(new Event("input")); };
const found = () => [...document.querySelectorAll("#explorer-items button")].map(each => each.textContent);
type("folding  TEA"); seen.found = found(); seen.answer = document.getElementById("explorer-answer").textContent;
key(search, "ArrowDown"); seen.focused = document.activeElement.textContent; document.activeElement.click();
seen.opened = panelText();
type("nothing like it"); seen.none = [found().length, document.getElementById("explorer-answer").textContent];
type("i8"); seen.byId = found();
document.querySelector("#changes [data-user] button").click(); seen.fromTable = document.activeElement.textContent;
document.querySelector("#changes [data-item] button").click(); seen.itemFromTable = document.activeElement.textContent;
seen.images = document.images.length;
seen.over = document.documentElement.scrollWidth - innerWidth;
seen.width = innerWidth;
document.documentElement.dataset.visit = JSON.stringify(seen);
</script></body>"""


def page(**lists):
    return render(sample_result(), sample_curves(), sample_users(), None, (), sample_lists(**lists), sample_nights())


@pytest.fixture(scope="module")
def visit(tmp_path_factory):
    """What a visitor sees, on a screen and in a frame as wide as a phone."""
    folder = tmp_path_factory.mktemp("explorer")
    (folder / "page.html").write_text(page().replace("</body>", VISIT))
    (folder / "phone.html").write_text(
        '<html><body><iframe src="page.html" width="375" height="800"></iframe><script>onload = () => {'
        'const inside = document.querySelector("iframe").contentDocument.documentElement;'
        "document.documentElement.dataset.visit = inside.dataset.visit}</script></body></html>"
    )

    def seen(name):
        flags = (*FLAGS, f"--user-data-dir={folder / 'profile'}", "--allow-file-access-from-files", "--window-size=1200,900")
        command = [CHROMIUM, *flags, "--dump-dom", (folder / f"{name}.html").as_uri()]
        dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
        text = re.search(r'data-visit="([^"]*)"', dom).group(1)
        for code, sign in (("&quot;", '"'), ("&lt;", "<"), ("&gt;", ">"), ("&nbsp;", " "), ("&amp;", "&")):
            text = text.replace(code, sign)
        return json.loads(text)

    return seen


@browser
def test_a_visitor_goes_from_user_to_item_to_similar_item_and_back_by_keys(visit) -> None:
    seen = visit("page")
    assert seen["people"] == ["User 1", "User 2", "User 3", "User 4"]
    assert seen["heading"] == "User 1" and seen["pressed"] == ["true", "false", "false", "false"]
    words = seen["user"]
    assert "Folding Kettle" in words and "purchase" in words and "like “Folding Kettle” (cosine 0.81)" in words
    assert "new" in words and "↑" not in words and "↓ from 1" in words and "gone" in words and "List of 2026-03-11" in words
    assert "In lists tonight 1" in seen["item"] and "cosine 0.81" in seen["item"]
    assert "Lamp </script><img src=x onerror=boom()>" in seen["similar"] and "User 4" in seen["similar"]
    assert (seen["holder"], seen["back"], seen["next"], seen["round"]) == ("User 1", "User 1", "User 2", "User 4")
    assert (seen["fromTable"], seen["itemFromTable"]) == ("User 1", "Lamp </script><img src=x onerror=boom()>")


@browser
def test_items_are_searched_by_title_and_id(visit) -> None:
    seen = visit("page")
    assert (seen["found"], seen["answer"], seen["focused"]) == (["Folding Tea"], "1 item.", "Folding Tea")
    assert "In lists tonight 3" in seen["opened"] and seen["byId"] == ["Folding Cup"]
    assert seen["none"] == [0, "None of the 8 items on this page."]


@browser
def test_titles_stay_text_and_a_phone_sees_all_of_it(visit) -> None:
    wide, phone = visit("page"), visit("phone")
    assert wide["images"] == phone["images"] == 0
    assert phone["width"] <= 375 and phone["over"] <= 0 and wide["over"] <= 0
    assert phone["user"] == wide["user"]


def test_the_page_is_one_file_that_no_title_can_open() -> None:
    html = page()
    parsed(html)
    assert "<img src=x" not in html and not re.search(r"""(src|href)=["'](?!#)""", html)
    assert "http://" not in html.replace("http://www.w3.org", "") and "https://" not in html
    data = re.search(r'id="explorer-data">(.*?)</script>', html, re.DOTALL).group(1)
    assert "<" not in data and json.loads(data) == sample_lists()["explorer"]


def test_without_lists_there_is_no_explorer_and_no_ids_reach_it_unasked() -> None:
    bare = render(sample_result(), sample_curves(), sample_users())
    assert 'id="explorer"' not in bare and 'id="changes"' not in bare
    assert "u-918273645" not in page()
    assert (changed(None), explorer(None), changed({"changes": None, "explorer": {}})) == (None, None, None)


def test_what_changed_in_words_and_tables() -> None:
    view = changed(sample_lists())
    assert view.words.startswith("1,611 of 5,493 lists changed (29.3%)") and "5,493 of 5,611 users" in view.words
    assert view.users[0] == ("User 1", "2", "Folding Rope", "Lamp </script><img src=x onerror=boom()>")
    assert [row[0] for row in view.users] == ["User 1", "User 2"], "who has the same list, or had none, did not change"
    assert view.items[0][2:] == ("310", "1,204")


def test_a_quiet_night_is_well_and_unusual_shares_are_named() -> None:
    changes = sample_lists()["changes"]
    quiet = morning(sample_result(), changes, sample_nights())
    assert (quiet.tone, quiet.verdict, quiet.points, len(quiet.charts)) == ("good", "All is well.", (), 4)
    loud = sample_result()
    loud["counts"] |= {"events": 9_000, "quarantined": {"unknown_action": 1_000}}
    loud["release"] |= {"fallback": {"no_history": 2_000}}
    found = morning(loud, {**changes, "changed": 5_000}, sample_nights())
    assert found.tone == "warn" and found.verdict == "4 things need a look."
    assert [re.search(r"of the (\w+)|events", point).group(0) for point in found.points] == [
        "of the rows", "of the users", "of the lists", "events",
    ]  # fmt: skip
    assert morning(loud, changes, sample_nights()[:2]).points == (), "two nights make nothing usual"


def test_what_the_run_itself_decided_is_named_first() -> None:
    result = sample_result()
    result["gate"] |= {"decision": "rejected", "limits": [{"limit": "coverage", "verdict": "failed", "sentence": "s"}]}
    result["guards"] = {"days": [], "without": ["2026-03-10"], "folded": []}
    points = morning(result, None, ()).points
    assert [point.split()[0] for point in points] == ["The", "Limits", "Held"] and "coverage" in points[1]
    for row in result["metrics"]:
        if (row["recommender"], row["split"], row["slice"]) == ("als", "test", "all"):
            row |= {"value": 0.3, "ci": [0.29, 0.31]}
    worse = "ALS matrix factorisation makes better lists than the model: NDCG@10 0.3000 against 0.0931."
    assert morning(result, None, ()).points == (worse, *points)
    assert morning({**result, "status": "failed"}, None, ()).verdict == "Tonight went wrong."
