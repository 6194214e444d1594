"""The page in a real browser: it opens without an error or a request, and leads from the map to the cards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from contents import SEGMENTS, contents, hostile
from more import DIVIDED, INSIDE, full

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
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
SIZES = pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
DRIVER = "GPU stall due to ReadPixels"
"""The driver complains that a test reads the map's pixels back; the page never does."""

NO_WEBGL = """{
  const own = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
    return kind === "webgl" ? null : own.call(this, kind, ...more);
  };
}"""
PINCH = """() => {
  const canvas = document.getElementById("canvas");
  const box = canvas.getBoundingClientRect();
  const touch = (type, id, x, y) => canvas.dispatchEvent(new PointerEvent(type, {
    pointerId: id, pointerType: "touch", clientX: box.left + x, clientY: box.top + y, bubbles: true,
  }));
  touch("pointerdown", 1, 100, 100);
  touch("pointerdown", 2, 140, 100);
  touch("pointermove", 2, 260, 160);
  touch("pointerup", 2, 260, 160);
  touch("pointerup", 1, 100, 100);
}"""
FRAMES = """async () => {
  const canvas = document.getElementById("canvas");
  canvas.focus();
  let frames = 0;
  for (let k = 0; k < 10; k++) {
    canvas.dispatchEvent(new KeyboardEvent("keydown", { key: k % 2 ? "ArrowLeft" : "ArrowRight" }));
    await new Promise((done) => requestAnimationFrame(() => { frames += 1; done(); }));
  }
  return frames;
}"""
NAMES = """() => [...document.querySelectorAll("#labels span")].map((s) => [s.hidden, s.style.transform]).join()"""
"""Where the names on the map are, which says how near the map is."""
UNNAMED = """() => [...document.querySelectorAll("a, button, input, summary, [tabindex='0']")].filter((element) => {
  const label = element.labels?.[0]?.textContent;
  return !(element.getAttribute("aria-label") || element.textContent.trim() || label?.trim());
}).map((element) => element.outerHTML)"""

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


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with everything that newer runs have beside."""
    return write(full(), tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    """Open a page; at the end, no console message, error or request beside the file itself may have occurred."""
    contexts, troubles = [], []

    def open_page(
        path: Path, size: dict[str, int] = WIDE, scheme: str = "light", before: str | None = None, **more: Any
    ) -> Any:
        context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce", **more)
        if before is not None:
            context.add_init_script(before)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: DRIVER in message.text or troubles.append(message.text))
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
    before = page.evaluate(NAMES)
    page.locator("#closer").click()
    settled(page)
    assert page.evaluate(NAMES) != before
    page.locator("#whole").click()
    settled(page)
    assert page.evaluate(NAMES) == before


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


@SIZES
def test_the_level_switch_shows_subsegments_and_back(opened: Any, whole: Path, size: dict) -> None:
    page = opened(whole, size)
    segments = sorted(page.locator("#labels span").all_text_contents())
    page.get_by_role("button", name="Subsegments").click()
    settled(page)
    names = page.locator("#labels span").all_text_contents()
    assert set(INSIDE.values()) <= set(names)
    assert f"{SEGMENTS[DIVIDED][0]}, the rest" in names
    assert SEGMENTS[0][0] in names  # a segment that is not divided stays
    assert page.locator(".legend:visible").count() == 1
    assert "Musicals" in page.locator(".legend:visible").inner_text()
    assert pixels_of(page, f"--segment-{8 + 1}") > 10
    page.get_by_role("button", name="Segments", exact=True).click()
    settled(page)
    assert sorted(page.locator("#labels span").all_text_contents()) == segments


@SIZES
def test_looking_a_user_up_tells_segment_subsegment_and_strength(opened: Any, whole: Path, size: dict) -> None:
    page, made = opened(whole, size), full().map
    row = next(r for r in made.iter_rows(named=True) if r["subsegment"] >= 0)
    page.locator("#find").fill(row["user_id"])
    page.locator("#look").click()
    told = page.locator("#found").inner_text()
    for words in (f"User {row['user_id']}", SEGMENTS[DIVIDED][0], INSIDE[row["subsegment"]], f"{row['strength']:.2f}"):
        assert words in told
    page.locator("#ring").wait_for(state="visible")
    page.get_by_role("button", name="Show closer").click()
    settled(page)
    canvas, ring = page.locator("#canvas").bounding_box(), page.locator("#ring").bounding_box()
    assert abs(ring["x"] + ring["width"] / 2 - canvas["x"] - canvas["width"] / 2) < 2


def test_a_user_beyond_the_sample_is_told_that_it_is_one(opened: Any, tmp_path: Path) -> None:
    page = opened(write(replace(full(), users=5_000), tmp_path / "report.html"))
    page.locator("#find").fill("4999")
    page.locator("#look").click()
    assert "It holds a sample of 610 of 5,000 users." in page.locator("#found").inner_text()
    assert "a sample of 610 of 5,000 users" in page.locator(".privacy").inner_text()


@SIZES
def test_segments_can_be_picked_and_held_against_each_other(opened: Any, whole: Path, size: dict) -> None:
    page = opened(whole, size)
    boxes = page.locator("#pick input")
    assert [boxes.nth(k).is_checked() for k in range(8)] == [True, True] + [False] * 6
    assert "Film 0 or 1 (1999)" in page.locator("#compared").inner_text()
    assert "4.5 times the odds (3.0 to 8.2)" in page.locator("#compared").inner_text()
    assert "No difference to count on: events a user." in page.locator("#compared").inner_text()
    boxes.nth(3).check()
    told = page.locator("#compared").inner_text()
    assert all(f"Film {a} or {b} (1999)" in told for a, b in ((0, 1), (0, 3), (1, 3)))
    boxes.nth(0).uncheck()
    boxes.nth(1).uncheck()
    assert page.locator("#compared").inner_text() == "Pick two to five segments."
    for k in (0, 1, 2, 4):
        boxes.nth(k).check()
    assert boxes.nth(5).is_disabled()  # five are picked
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_many_segments_are_compared_by_their_shares(opened: Any, tmp_path: Path) -> None:
    page = opened(write(contents(300, segments=14), tmp_path / "report.html"))
    assert page.locator("#shares-note").is_visible()
    assert page.locator("#compare-note").is_hidden()
    assert page.locator("#compared .differences li").count() > 3
    assert page.locator("#compared .effect").count() == 0


@SIZES
def test_a_card_unfolds_into_its_subsegments(opened: Any, whole: Path, size: dict) -> None:
    page = opened(whole, size)
    card = page.locator(f"#segment-{DIVIDED}")
    inside = page.locator("#subsegment-9")
    assert not inside.is_visible()
    card.locator("details.inside > summary").click()
    inside.locator("summary").first.click()
    told = inside.inner_text()
    assert "Drawn by hand" in told
    assert "92\u202f% of its members come back when users are drawn anew (86 to 98\u202f%)" in told
    inside.get_by_text("Show on the map").click()
    assert page.locator("[data-to='1']").get_attribute("aria-pressed") == "true"
    assert page.locator(".legend a.on").inner_text().startswith("Drawn by hand")


def test_a_legend_entry_of_a_subsegment_unfolds_its_card(opened: Any, whole: Path) -> None:
    page = opened(whole)
    page.get_by_role("button", name="Subsegments").click()
    page.locator(".legend:visible a", has_text="Musicals").click()
    page.locator("#subsegment-10:focus").wait_for()
    assert page.locator("#subsegment-10 .evidence").is_visible()


@SIZES
def test_the_button_turns_the_page_dark_and_light_again(opened: Any, whole: Path, size: dict) -> None:
    page = opened(whole, size)
    background = "getComputedStyle(document.body).backgroundColor"
    light, ink = page.evaluate(background), pixels_of(page, "--segment-0")
    page.locator("#theme").click()
    settled(page)
    assert page.evaluate(background) != light
    assert pixels_of(page, "--segment-0") == pytest.approx(ink, rel=0.5)  # points have the dark page's colours
    page.locator("#theme").click()
    assert page.evaluate(background) == light


def test_keys_zoom_and_move_the_map(opened: Any, whole: Path) -> None:
    page = opened(whole)
    before = page.evaluate(NAMES)
    page.locator("#canvas").focus()
    for keys in (["+"], ["ArrowRight"], ["ArrowDown"]):
        seen = page.evaluate(NAMES)
        for key in keys:
            page.keyboard.press(key)
        settled(page)
        assert page.evaluate(NAMES) != seen
    page.keyboard.press("0")
    settled(page)
    assert page.evaluate(NAMES) == before


def test_a_wheel_scrolls_the_page_until_the_map_is_clicked(opened: Any, whole: Path) -> None:
    page = opened(whole)
    before = page.evaluate(NAMES)
    page.locator("#canvas").scroll_into_view_if_needed()
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + 8, box["y"] + 8)
    page.mouse.wheel(0, -100)
    page.locator("#hint").wait_for(state="visible")
    assert page.evaluate(NAMES) == before
    page.locator("#canvas").scroll_into_view_if_needed()
    box = page.locator("#canvas").bounding_box()
    page.mouse.click(box["x"] + 8, box["y"] + 8)  # nobody lies in the corner
    page.mouse.wheel(0, -200)
    settled(page)
    assert page.evaluate(NAMES) != before


def test_two_fingers_zoom_the_map(opened: Any, whole: Path) -> None:
    page = opened(whole, PHONE, has_touch=True)
    before = page.evaluate(NAMES)
    page.evaluate(PINCH)
    settled(page)
    assert page.evaluate(NAMES) != before


def test_what_changed_since_the_last_run_is_drawn_and_told(opened: Any, whole: Path) -> None:
    page = opened(whole, PHONE)
    assert page.locator(".flow .ribbon").count() == 8
    assert page.locator(".chart .line").count() == 8
    assert page.locator(".drift .badge").inner_text() == "Alarm"
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_everything_that_can_be_worked_has_a_name(opened: Any, whole: Path) -> None:
    page = opened(whole)
    unnamed = page.evaluate(UNNAMED)
    assert unnamed == []


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of 100,000 users."""
    return write(full(100_000), tmp_path_factory.mktemp("report") / "report.html")


@pytest.mark.parametrize("webgl", [True, False], ids=["webgl", "by-hand"])
def test_100_000_users_are_drawn_and_answer(opened: Any, crowd: Path, webgl: bool) -> None:
    page = opened(crowd, before=None if webgl else NO_WEBGL)
    painter = page.locator("#canvas").get_attribute("data-painter")
    if webgl and painter != "webgl":
        pytest.skip("this Chromium has no WebGL")
    assert painter == ("webgl" if webgl else "2d")
    assert all(pixels_of(page, f"--segment-{k}") > 30 for k in range(len(SEGMENTS)))
    x, y = point_of(page, "31415")
    page.keyboard.press("Escape")
    page.mouse.move(x, y)
    page.locator("#tip").wait_for(state="visible")
    page.locator("#closer").click()
    page.get_by_role("button", name="Subsegments").click()
    frames = page.evaluate(FRAMES)  # frames go on while the map is moved about
    assert frames >= 10
    assert set(INSIDE.values()) & set(page.locator("#labels span").all_text_contents())


def test_both_painters_draw_the_same_picture(opened: Any, tmp_path: Path) -> None:
    path = write(full(5_000), tmp_path / "report.html")
    card, hand = opened(path), opened(path, before=NO_WEBGL)
    if card.locator("#canvas").get_attribute("data-painter") != "webgl":
        pytest.skip("this Chromium has no WebGL")
    for k in range(len(SEGMENTS)):
        ours, theirs = (pixels_of(page, f"--segment-{k}") for page in (card, hand))
        assert ours == pytest.approx(theirs, rel=0.5), k
