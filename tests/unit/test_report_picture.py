"""The page in a real browser: it draws, in light and dark, and nothing runs over the edge of a narrow window."""

import re
import shutil
import subprocess

import pytest
from PIL import Image

from nightrank.pipeline.report.page import render
from tests.unit.report_sample import sample_curves, sample_result, sample_users

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ("background-networking", "component-update", "sync", "gpu")
FLAGS = ("--headless", "--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in QUIET))
MEASURE = """<script>
const page = document.documentElement;
page.dataset.over = page.scrollWidth - innerWidth;
const boxes = [...document.querySelectorAll(".chart svg text")].map(text => text.getBoundingClientRect());
const texts = boxes.filter(box => box.width);
page.dataset.texts = texts.length;
page.dataset.cut = texts.filter(box => box.left < 0 || box.right > innerWidth).length;
const rows = [...document.querySelectorAll(".chart svg g")].map(row => [...row.querySelectorAll("text")]);
const sides = rows.map(row => row.map(text => text.getBoundingClientRect())).filter(row => row.length == 2 && row[0].width);
page.dataset.sides = sides.length;
page.dataset.overlaps = sides.filter(([label, value]) => label.right > value.left).length;
page.dataset.smallest = Math.min(...texts.map(box => box.height));
page.dataset.seen = innerWidth;
document.querySelectorAll("details").forEach(each => { each.open = true; });
page.dataset.sideways = [...document.querySelectorAll(".scroll")].filter(box => box.scrollWidth > box.clientWidth + 1).length;
const finding = text => {
  const box = document.getElementById("find");
  box.value = text;
  box.dispatchEvent(new Event("input"));
  const seen = [...document.querySelectorAll("article.user")].filter(user => user.checkVisibility());
  return seen.map(user => user.dataset.letter).join("");
};
page.dataset.found = ["", "b", " SHOP-2", "SHOP", "nobody"].map(finding).join("/");
page.dataset.answer = document.getElementById("found").textContent;
</script></body>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no browser; apt-get install -y chromium")


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    page = folder / "page.html"
    users = [{**user, "user_id": f"shop-{place}"} for place, user in enumerate(sample_users())]
    page.write_text(render(sample_result(), sample_curves(), users).replace("</body>", MEASURE))

    def run(*flags):
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *flags, page.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout

    return run


@pytest.mark.parametrize("width", [500, 1100, 1200, 1800])
def test_nothing_runs_over_the_edge(browse, width):
    dom = browse("--dump-dom", f"--window-size={width},900")
    assert int(re.search(r'data-over="(-?\d+)"', dom).group(1)) <= 0


def figure(dom, name):
    return float(re.search(rf'data-{name}="([-\d.]+)"', dom).group(1))


@pytest.mark.parametrize("width", [375, 1280])
def test_every_text_of_a_chart_is_inside_the_window_and_can_be_read(browse, width):
    dom = browse("--dump-dom", f"--window-size={width},900")
    assert figure(dom, "texts") > 20 and figure(dom, "seen") <= max(width, 500), "a headless window may not be narrower"
    assert figure(dom, "sides") >= 6 and figure(dom, "overlaps") == 0
    assert figure(dom, "cut") == 0
    assert figure(dom, "smallest") > 10


def test_no_table_scrolls_sideways_on_a_phone(browse):
    dom = browse("--dump-dom", "--window-size=390,900")
    assert figure(dom, "seen") <= 500 and figure(dom, "sideways") == 0


def test_a_user_of_the_page_is_found_by_letter_by_id_and_by_what_it_shows(browse):
    dom = browse("--dump-dom", "--window-size=1100,900")
    assert re.search(r'data-found="([^"]*)"', dom).group(1) == "ABC/B/C/ABC/"
    assert 'data-answer="None of the users on this page."' in dom


def test_it_is_drawn_in_light_and_in_dark(browse, tmp_path):
    corners = {}
    for scheme, flag in (("light", "1"), ("dark", "0")):
        shot = tmp_path / f"{scheme}.png"
        browse(f"--screenshot={shot}", "--window-size=1100,1400", f"--blink-settings=preferredColorScheme={flag}")
        with Image.open(shot) as picture:
            assert picture.size[0] == 1100 and len(picture.convert("RGB").getcolors(1 << 20)) > 100
            corners[scheme] = sum(picture.convert("RGB").getpixel((3, 3)))
    assert corners["dark"] < 150 < 600 < corners["light"]
