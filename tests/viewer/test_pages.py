"""The viewer in a browser, over a centre the real engine decided: what a duty officer sees, and what nobody may."""

import time
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from app.portal.viewer.boards import boards
from contracts.site import Influx
from store.state_db import StateDb

from .browser import NARROW, WIDE, Visitor, shoot
from .centre import HOSTILE, serving


@pytest.fixture(scope="module")
def url(centre, free_ports):
    port, nobody = free_ports(2)
    with serving(centre, port, Influx(url=f"http://127.0.0.1:{nobody}")) as one:
        yield one


@pytest.fixture(scope="module")
def visitors():
    return {}


@pytest.fixture
def visitor(browser, url, visitors):
    """visitor("duty") is somebody's browser; at the end nothing was wrong on any page, and no request left."""

    def come(name="duty", size=WIDE):
        key = name, size
        if key not in visitors:
            visitors[key] = Visitor(url, browser, name, size)
        return visitors[key]

    yield come
    for one in visitors.values():
        one.leave()


def panels(page):
    return page.locator(".gi-panel").all()


def check_panels(page, board):
    assert page.locator(".gi-panel").count() == len(board.panels)
    drawn = 0
    for panel in panels(page):
        if panel.get_attribute("data-state") == "drawn":
            drawn += 1
            assert panel.locator("canvas").count() or panel.locator("td, .gi-bar, .gi-stat").count()
        else:
            assert len(panel.locator(".gi-say, .gi-none small").first.inner_text()) > 15
    assert drawn >= len(board.panels) * 0.4


@pytest.mark.parametrize("name", [one.name for one in boards("en")])
def test_every_board_opens_and_each_panel_shows_data_or_says_why_not(visitor, name):
    board = next(one for one in boards("en") if one.name == name)
    page = visitor().open(f"/d/{board.uid}")
    check_panels(page, board)
    shoot(page, name)


@pytest.mark.parametrize("name", [one.name for one in boards("zh")])
def test_every_board_fits_the_wall_without_scrolling(visitor, name):
    board = next(one for one in boards("zh") if one.name == name)
    page = visitor().open(f"/d/{board.uid}?wall=1&rotate=off")
    check_panels(page, board)
    sizes = page.evaluate("[document.documentElement.scrollHeight, document.documentElement.scrollWidth]")
    assert sizes == [1080, 1920]
    assert page.locator("header").count() == 0
    for panel in panels(page):
        box = panel.bounding_box()
        assert box["y"] + box["height"] <= 1080
        assert box["x"] + box["width"] <= 1920
        assert box["height"] > 60
    shoot(page, f"wall-{name}")


def test_the_wall_goes_on_to_the_next_board(visitor):
    page = visitor().open("/d/gi-overview-zh?wall=1&rotate=1")
    page.wait_for_url("**/d/gi-exceedances-zh?**wall=1**", timeout=10_000)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_telephone_shows_everything_in_one_column(visitor, theme):
    person = visitor(size=NARROW)
    for path in ("/", "/d/gi-overview-zh", "/alerts"):
        page = person.open(f"{path}?theme={theme}&lang=zh") if path != "/" else person.context.new_page()
        if path == "/":
            page.goto(f"{person.url}/?theme={theme}&lang=zh")
            expect(page.locator(".gi-card").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW[0]
        shoot(page, f"narrow-{theme}{path.replace('/', '-')}")


def test_a_script_in_a_name_is_words_on_every_page(visitor, centre):
    officer = visitor()
    with StateDb(centre.state_dir / "state.db") as db:
        alert = next(row["episode"] for row in db.transitions() if row["body"]["station"] == "XS-COAL-1")
    paths = (
        "/d/gi-overview-en",
        "/d/gi-limits-en?var-station=XS-COAL-1",
        "/alerts?state=all&lang=en",
        f"/alerts/{alert}?lang=en",
    )
    for path in paths:
        page = officer.open(path)
        assert page.evaluate("window.hacked") is None
        assert page.locator("img").count() == 0
        page.close()
    page = officer.open(f"/alerts/{alert}?lang=en")
    assert HOSTILE in page.locator("h1").inner_text()
    page = officer.open("/d/gi-exceedances-en")
    page.locator("[data-variable=station]").click()
    page.locator(".gi-search input").fill("script")
    expect(page.locator(".gi-option").last).to_contain_text(HOSTILE)
    page.locator(".gi-option").last.click()
    page.wait_for_url("**var-station=XS-COAL-1**")
    assert page.evaluate("window.hacked") is None


def test_an_unknown_value_is_told_and_matches_nothing(visitor):
    page = visitor().open("/d/gi-limits-en?var-station=NO-SUCH&from=now-6h&to=now")
    expect(page.locator(".gi-notice")).to_have_text("Station: there is no 'NO-SUCH', or it is not in your scope.")
    assert {panel.get_attribute("data-state") for panel in panels(page)} == {"empty"}
    page = visitor().open("/d/gi-overview-en?from=yesterday&to=now")
    expect(page.locator(".gi-notice")).to_contain_text("'yesterday' is no time; write now-6h")


def test_influxdb_that_is_away_is_told_and_the_live_state_is_still_shown(visitor):
    page = visitor().open("/d/gi-overview-en?source=influxdb")
    red = page.locator("#panel-1")
    assert red.get_attribute("data-state") == "drawn"
    expect(red.locator(".gi-note")).to_have_text("InfluxDB does not answer; this is the live state")
    assert page.locator("#panel-9 tbody tr").count() > 0
    expect(page.locator("#panel-7 .gi-say")).to_contain_text("InfluxDB does not answer")
    expect(page.locator("#panel-7 .gi-say")).to_contain_text("Switch the source to the archive")
    page.locator(".gi-sources a", has_text="Archive").click()
    page.wait_for_url("**/d/gi-overview-en")
    expect(page.locator("#panel-7")).to_have_attribute("data-state", "drawn", timeout=20_000)


def test_a_range_is_chosen_by_keyboard_and_stands_in_the_address(visitor):
    page = visitor().open("/d/gi-overview-en")
    page.keyboard.press("t")
    page.locator(".gi-option", has_text="last 1h").click()
    page.wait_for_url("**from=now-1h&to=now")
    page.keyboard.press("?")
    expect(page.locator(".gi-help")).to_contain_text("wall mode")
    page.keyboard.press("Escape")
    expect(page.locator(".gi-help")).to_have_count(0)
    page.keyboard.press("w")
    page.wait_for_url("**wall=1")
    expect(page.locator("body.gi-wall")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("a")
    page.wait_for_url("**/alerts")
    page.keyboard.press("g")
    page.keyboard.press("b")
    expect(page.locator(".gi-card")).to_have_count(len(boards("en")))


def test_a_stretch_dragged_over_on_a_chart_becomes_the_range_and_a_double_click_takes_it_back(visitor):
    page = visitor().open("/d/gi-overview-en")
    box = page.locator("#panel-7 canvas").first.bounding_box()
    middle, y = box["x"] + box["width"] * 0.7, box["y"] + box["height"] / 2
    page.mouse.move(middle, y)
    page.mouse.down()
    page.mouse.move(middle + box["width"] * 0.2, y, steps=4)
    page.mouse.up()
    page.wait_for_url("**from=2026-03-0*&to=2026-03-0*")
    said = parse_qs(urlsplit(page.url).query)
    from_at, to_at = (datetime.fromisoformat(said[name][0]) for name in ("from", "to"))
    assert timedelta(minutes=30) < to_at - from_at < timedelta(hours=3)
    page.mouse.dblclick(middle, y)
    page.wait_for_url("**/d/gi-overview-en")


def test_limits_begin_with_one_factor_and_all_of_them_can_be_chosen(visitor):
    page = visitor().open("/d/gi-limits-en")
    expect(page.locator("[data-variable=factor]")).to_contain_text("Sulfur dioxide (converted)")
    assert "var-" not in page.url
    page.locator("[data-variable=factor]").click()
    page.locator(".gi-option").first.click()
    page.wait_for_url("**var-factor=%24__all")
    expect(page.locator("[data-variable=factor]")).to_contain_text("All")
    page.reload()
    expect(page.locator("[data-variable=factor]")).to_contain_text("All")


def test_a_page_is_sent_drawn(visitor):
    """Its socket brings what is new, and nothing waits for it."""
    sent = visitor().context.request.get(f"{visitor().url}/d/gi-overview-en").text()
    assert '"data-state":"drawn"' in sent
    assert '"data-state":"loading"' not in sent


def test_an_enterprise_sees_itself_alone(visitor):
    plant = visitor("plant")
    page = plant.open("/alerts?state=all&lang=en")
    said = page.locator(".gi-alert").all_inner_texts()
    assert said
    assert all("Xishui Plant A" in one for one in said)
    page = plant.open("/d/gi-overview-en")
    assert "Bozhou" not in page.content()
    assert "Xishui Plant A" in page.content()
    expect(page.locator("#panel-10 .gi-say")).to_contain_text("about the whole site; your scope is a part of it")
    page = plant.open("/d/gi-limits-en?var-station=BZ-STEEL-E")
    expect(page.locator(".gi-notice")).to_contain_text("'BZ-STEEL-E', or it is not in your scope")
    assert "Bozhou" not in page.content()


def test_a_viewer_who_calls_an_operators_action_is_refused(visitor):
    person = visitor("viewer")
    page = person.open("/alerts?lang=en")
    button = page.locator("[data-act=acknowledge]").first
    expect(button).to_be_disabled()
    assert button.get_attribute("title") == "The role 'viewer' may not acknowledge alerts"
    name = button.get_attribute("data-id")
    done = page.evaluate(f"gi.act('/api/v1/alerts/{name}/acknowledge', {{reason: 'me'}})")
    assert (done["ok"], done["status"]) == (False, 403)
    expect(page.locator(".gi-toast").last).to_have_text("Refused: The role 'viewer' may not acknowledge alerts")
    assert "403" in person.wrong.pop()  # the browser's own word for the refusal


def test_nobody_sees_a_page_without_signing_in(browser, url):
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/d/gi-overview-en?from=now-1h&to=now")
    assert page.url.endswith("/login?next=%2Fd%2Fgi-overview-en%3Ffrom%3Dnow-1h%26to%3Dnow")
    page.fill("[name=name]", "duty")
    page.fill("[name=password]", "wrong")
    page.click("form button")
    expect(page.locator("[role=alert]")).to_contain_text("wrong")
    page.fill("[name=password]", "correct-horse-9")
    page.click("form button")
    page.wait_for_url("**/d/gi-overview-en?from=now-1h&to=now")
    page.locator("[data-signout]").click()
    page.wait_for_url("**/login")
    page.goto(f"{url}/alerts")
    assert "/login" in page.url
    context.close()


def test_what_is_done_about_an_alert_goes_into_the_journal_and_comes_back(visitor, centre):
    officer = visitor()
    page = officer.open("/alerts?lang=en")
    name = page.locator("[data-act=acknowledge]").first.get_attribute("data-id")
    for act, text in (("acknowledge", "on my way"), ("comment", "called the plant"), ("silence", "works")):
        page.locator(f"[data-act={act}][data-id='{name}']").click()
        page.locator(".gi-dialog textarea").fill(text)
        with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
            page.locator(".gi-dialog .gi-first").click()
        assert answered.value.status == 202, answered.value.text()
    centre.take_in()
    centre.decide()
    expect(page.locator(f"[data-alert='{name}']")).to_contain_text("acknowledged by duty", timeout=15_000)
    page = officer.open(f"/alerts/{name}?lang=en")
    done = page.locator("[data-part=actions]")
    expect(done).to_contain_text("duty: Acknowledge")
    expect(done).to_contain_text("called the plant")
    shoot(page, "alert")
    silences = officer.context.request.get(f"{officer.url}/api/v1/silences").json()["items"]
    assert silences[0]["reason"] == "works"
    page.locator("#gi-explain").click()
    expect(page.locator(".gi-explained")).to_contain_text("limit", timeout=60_000)


def done(page, act, text, choice=None):
    """What a person says in the dialog of an action; the API takes it."""
    page.locator(f"[data-act={act}]").first.click()
    if choice is not None:
        page.locator(".gi-dialog select").select_option(choice)
    page.locator(".gi-dialog textarea").fill(text)
    with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
        page.locator(".gi-dialog .gi-first").click()
    assert answered.value.status == 202, answered.value.text()


def test_a_case_is_opened_from_an_alert_replied_to_by_the_plant_and_closed_by_a_reviewer(visitor, centre):
    officer, plant, reviewer = visitor(), visitor("plant"), visitor("reviewer")
    own = plant.context.request.get(f"{plant.url}/api/v1/alerts").json()["items"]
    with StateDb(centre.state_dir / "state.db") as db:
        alert = next(one["id"] for one in own if not db.cases.cases_of(one["id"]))
    done(officer.open(f"/alerts/{alert}?lang=en"), "open_case", "third time this month", "exceedance")
    centre.take_in()
    centre.decide()
    with StateDb(centre.state_dir / "state.db") as db:
        (name,) = db.cases.cases_of(alert)
    expect(officer.open(f"/alerts/{alert}?lang=en").locator(f"a[href='/cases/{name}']")).to_be_visible()
    page = plant.open("/cases?lang=en")
    shoot(page, "cases-of-a-plant")
    row = page.locator(f"[data-case='{name}']")
    expect(row).to_contain_text("awaiting a reply")
    expect(row).to_contain_text("Reply due")
    expect(row.locator("[data-act=close_case]")).to_be_disabled()
    assert all("Xishui Plant A" in one for one in page.locator(".gi-alert").all_inner_texts())
    page = plant.open(f"/cases/{name}?lang=en")
    done(page, "reply_case", "bag 3 was changed")
    centre.take_in()
    centre.decide()
    page = reviewer.open(f"/cases/{name}?lang=en")
    expect(page.locator("[data-part=history]")).to_contain_text("reply: bag 3 was changed")
    expect(page.locator("[data-part=alerts]")).to_contain_text("Xishui Plant A")
    shoot(page, "case")
    done(page, "close_case", "seen on site", "remedied")
    centre.take_in()
    centre.decide()
    expect(page.locator(".gi-tag").first).to_contain_text("closed", timeout=15_000)
    expect(page.locator("[data-part=history]")).to_contain_text("remedied: seen on site")
    page = reviewer.open("/cases?state=all&lang=en")
    expect(page.locator(f"[data-case='{name}']")).to_contain_text("remedied")
    shoot(page, "cases")
    assert "There is no such case" in reviewer.context.request.get(f"{reviewer.url}/cases/nothing?lang=en").text()


def test_a_new_exceedance_is_on_open_pages_within_five_seconds_of_its_decision(visitor, centre):
    officer = visitor()
    board, alerts = officer.open("/d/gi-overview-en"), officer.open("/alerts?lang=en")
    with StateDb(centre.state_dir / "state.db") as db:
        before = {row["episode"] for row in db.transitions()}
    centre.journal(timedelta(hours=2))
    centre.decide()
    decided_s = time.monotonic()
    with StateDb(centre.state_dir / "state.db") as db:
        opened = [one for one in db.open_episodes() if one["id"] not in before and one["kind"] == "limit"]
    assert opened, "the incidents of these minutes exceed a limit"
    newest = max(opened, key=lambda one: one["opened_at"])
    expect(alerts.locator(f"[data-alert='{newest['id']}']")).to_be_visible(timeout=5_000)
    expect(board.locator(".gi-toast").first).to_be_visible(timeout=5_000)
    expect(board.locator("#panel-9")).to_contain_text(newest["station"], timeout=5_000)
    assert time.monotonic() - decided_s < 5
    shoot(board, "new-exceedance")
