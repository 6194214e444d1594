"""The page in a real browser: it opens without an error or a request, and leads from the map to the cards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contents import SEGMENTS, contents, hostile

from shoal.report.page import write

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
SWITCHES = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
)  # fmt: skip
PIXELS = """(name) => {
  const canvas = document.getElementById("canvas");
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [canvas.width, canvas.height];
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  const text = getComputedStyle(document.documentElement).getPropertyValue(name);
  const own = [1, 3, 5].map((k) => parseInt(text.slice(k, k + 2), 16));
  const { data } = context.getImageData(0, 0, copy.width, copy.height);
  let n = 0;
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] > 90 && own.every((v, k) => Math.abs(data[i + k] - v) < 8)) n += 1;
  }
  return n;
}"""
"""How many pixels of the map have nearly this colour."""
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason=f"no Chromium at {CHROMIUM}; set CHROMIUM to its path"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(SWITCHES))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(contents(), tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    """Open a page; at the end, no console message, error or request beside the file itself may have occurred."""
    contexts, troubles = [], []

    def open_page(path: Path, size: dict[str, int] = WIDE, scheme: str = "light", **more: Any) -> Any:
        context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce", **more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: request.url == path.as_uri() or troubles.append(request.url))
        page.goto(path.as_uri())
        page.locator("#labels span").first.wait_for(state="attached")
        settled(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


def settled(page: Any) -> None:
    """Wait until what was asked for has been drawn.

    Elsewhere tests wait for elements: `page.wait_for_function` polls with eval, which the page's policy forbids.
    """
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def point_of(page: Any, user: str) -> tuple[float, float]:
    """Return where in the window a user is: the search field puts a ring around the point."""
    page.locator("#find").fill(user)
    page.locator("#find").press("Enter")
    page.locator("#ring").wait_for(state="visible")
    page.evaluate("document.getElementById('canvas').scrollIntoView({ block: 'center' })")
    settled(page)
    box = page.locator("#ring").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def pixels_of(page: Any, colour: str) -> int:
    """Return how many pixels of the map have nearly this colour, whatever their opacity."""
    settled(page)
    return page.evaluate(PIXELS, colour)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_the_page_opens_quietly_and_fits_its_window(opened: Any, report: Path, size: dict, scheme: str) -> None:
    page = opened(report, size, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert page.locator("article.segment").count() == len(SEGMENTS) + 1
    labels = page.locator("#labels span")
    assert sorted(labels.all_text_contents()) == sorted(name for name, *_ in SEGMENTS)
    assert page.locator("#labels span:visible").count() == len(SEGMENTS)
    assert all(pixels_of(page, f"--segment-{k}") > 30 for k in range(len(SEGMENTS)))


def test_the_page_is_light_or_dark_as_the_reader_has_it(opened: Any, report: Path) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    light, dark = (opened(report, scheme=s).evaluate(background) for s in ("light", "dark"))
    brightness = [sum(int(v) for v in colour[4:-1].split(",")) for colour in (light, dark)]
    assert brightness[0] > 650
    assert brightness[1] < 120


def test_hovering_shows_the_user_the_segment_and_the_events(opened: Any, report: Path) -> None:
    page, made = opened(report), contents()
    row = made.map.row(41, named=True)
    x, y = point_of(page, row["user_id"])
    page.keyboard.press("Escape")
    page.locator("#tip").wait_for(state="hidden")
    page.mouse.move(x, y)
    tip = page.locator("#tip")
    tip.wait_for(state="visible")
    assert f"User {row['user_id']}" in tip.inner_text()
    assert SEGMENTS[row["segment"]][0] in tip.inner_text()
    assert f"{row['events']} events" in tip.inner_text()


def test_a_click_on_a_point_leads_to_the_card_of_its_segment(opened: Any, report: Path) -> None:
    page, row = opened(report), contents().map.row(41, named=True)
    page.mouse.click(*point_of(page, row["user_id"]))
    card = f"segment-{row['segment']}"
    page.locator(f"#{card}:focus").wait_for()
    assert page.evaluate("location.hash") == f"#{card}"
    assert page.evaluate("(id) => document.getElementById(id).matches(':target')", card)
    assert 0 <= page.locator(f"#{card}").bounding_box()["y"] < WIDE["height"] / 2


def test_a_legend_entry_leads_to_its_card_by_mouse_and_by_keyboard(opened: Any, report: Path) -> None:
    page = opened(report)
    page.locator(".legend a").nth(3).click()
    page.locator("#segment-3:focus").wait_for()
    page.locator(".legend a").nth(5).focus()
    page.keyboard.press("Enter")
    page.locator("#segment-5:focus").wait_for()


def test_a_tap_shows_who_it_is_and_a_second_tap_opens_the_card(opened: Any, report: Path) -> None:
    page, row = opened(report, PHONE, has_touch=True), contents().map.row(41, named=True)
    x, y = point_of(page, row["user_id"])
    page.keyboard.press("Escape")
    page.touchscreen.tap(x, y)
    page.locator("#tip").wait_for(state="visible")
    assert page.evaluate("location.hash") == ""
    page.touchscreen.tap(x, y)
    page.locator(f"#segment-{row['segment']}:target").wait_for()


def test_pointing_at_a_segment_dims_the_others(opened: Any, report: Path) -> None:
    page = opened(report)
    before = pixels_of(page, "--segment-2")
    page.locator(".legend a").nth(1).hover()
    settled(page)
    assert page.locator("#labels .dim").count() == 7
    assert pixels_of(page, "--segment-2") < before / 10
    assert pixels_of(page, "--segment-1") > 30


def test_a_user_who_is_not_on_the_map_is_named(opened: Any, report: Path) -> None:
    page = opened(report)
    page.locator("#find").fill("nobody")
    page.locator("#find").press("Enter")
    page.get_by_text("There is no user nobody on this map.", exact=True).wait_for()


def test_zooming_in_and_back_shows_the_whole_map_again(opened: Any, report: Path) -> None:
    page = opened(report)
    place = "document.querySelector('#labels span').style.transform"
    before = page.evaluate(place)
    page.locator("#closer").click()
    settled(page)
    assert page.evaluate(place) != before
    page.locator("#whole").click()
    settled(page)
    assert page.evaluate(place) == before


def test_names_on_the_map_never_cover_each_other(opened: Any, tmp_path: Path) -> None:
    page = opened(write(contents(300, segments=14), tmp_path / "report.html"), PHONE)
    boxes = [label.bounding_box() for label in page.locator("#labels span:visible").all()]
    assert len(boxes) > 5
    for k, a in enumerate(boxes):
        for b in boxes[k + 1 :]:
            beside = a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"]
            assert beside or a["y"] + a["height"] <= b["y"] or b["y"] + b["height"] <= a["y"]


def test_hostile_titles_run_nothing(opened: Any, tmp_path: Path) -> None:
    page = opened(write(hostile(), tmp_path / "report.html"), PHONE)
    assert page.evaluate("document.images.length") == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert "<script>" in page.locator("#labels span").first.inner_text()


def test_50_000_users_in_14_segments_can_be_hovered(opened: Any, tmp_path: Path) -> None:
    page = opened(write(contents(50_000, segments=14), tmp_path / "report.html"))
    assert page.locator("#labels span").count() == 14
    x, y = point_of(page, "31415")
    page.keyboard.press("Escape")
    page.mouse.move(x, y)
    page.locator("#tip").wait_for(state="visible")
