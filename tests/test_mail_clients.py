"""What the big mail programs support of our mails, and whether the markup is sound: by caniemail
and html-validate, which run offline. `npm ci` in tests/mail_clients fetches them; accepted.json
names each finding that is accepted, and what its reader sees instead."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from real_browser import real_browser
from test_render import ABSTRACT, ENV, copies, item, mail

from digest.mail import letters
from digest.mail.contents import Note, Trend
from digest.mail.render import render_digest

HERE = Path(__file__).parent / "mail_clients"
ACCEPTED = json.loads((HERE / "accepted.json").read_text("utf-8"))

TREND = Trend("Tides of glass", "https://papers.test/abs/7", ("Ann Ode",), "128 upvotes")
NOTE = Note("Moth and moon", "https://papers.test/abs/8", "v2, title changed")


def every_mail():
    """A digest with all that one can hold, one of many papers, and each letter."""
    rich = [item(1)._replace(similar=copies(2)), item(2)._replace(exploring=True)]
    many = [item(number, abstract=ABSTRACT * 20) for number in range(1, 51)]
    common = {"service": "Paper Digest", "postal_address": "1 Library Lane, Bookham"}
    link = "https://digest.test/preferences/p"
    return {
        "digest": render_digest(ENV, mail(*rich, trending=(TREND,), news=(NOTE,))),
        "many": render_digest(ENV, mail(*many)),
        "confirm": letters.render(ENV, "confirm", **common, confirm_url=link),
        "link": letters.render(ENV, "link", **common, preferences_url=link, unsubscribe_url=link),
        "sensitive": letters.render(ENV, "sensitive", **common, my_data_url=link),
        "address": letters.render(ENV, "address", **common, address_url=link),
        "moved": letters.render(ENV, "moved", **common),
        "test": letters.render(ENV, "test", **common),
        "alert": letters.render(ENV, "alert", **common, sentences=["No mail went out today."]),
    }


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node 20 or later")
    if not (HERE / "node_modules").is_dir():
        pytest.skip("needs `npm ci` in tests/mail_clients")
    folder = tmp_path_factory.mktemp("mails")
    for name, made in every_mail().items():
        (folder / f"{name}.html").write_text(made.html, "utf-8")
    command = [node, str(HERE / "check.mjs"), *map(str, sorted(folder.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_a_client_does_not_support_has_a_fallback(report):
    """A feature that a client supports in part is accepted for all of them."""
    unknown = {found["title"] for found in report["features"]} - ACCEPTED.keys()
    assert not unknown
    for found in report["features"]:
        if found["kind"] == "errors":
            known = set(ACCEPTED[found["title"]]["unsupported"])
            assert set(found["clients"]) <= known, found["title"]


def test_no_fallback_is_kept_for_what_is_gone(report):
    assert {found["title"] for found in report["features"]} == ACCEPTED.keys()


def test_the_markup_is_sound_and_accessible(report):
    assert report["markup"] == []


# How it looks, where a browser is the mail program


@pytest.fixture(scope="module")
def browser():
    with real_browser() as started:
        yield started


def bare(html):
    """The mail where only the style attributes survive."""
    return re.sub(r"<style.*?</style>", "", html, flags=re.DOTALL)


@pytest.mark.parametrize("width", [320, 640, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_mail_fits_its_window(browser, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    for name, made in every_mail().items():
        for html in (made.html, bare(made.html)):
            page.set_content(html)
            assert page.evaluate("document.documentElement.scrollWidth") == width, name
            sheet = page.locator(".sheet").bounding_box()
            assert sheet["width"] == min(width, 640)
    page.close()


@pytest.mark.parametrize("name", ["digest", "many"])
def test_the_thumbs_can_be_hit_on_a_phone(browser, name):
    """A finger needs 40 px; where many papers stand in lines, 24 must do (WCAG 2.2)."""
    page = browser.new_page(viewport={"width": 320, "height": 900})
    made = every_mail()[name]
    for html in (made.html, bare(made.html)):
        page.set_content(html)
        thumbs = page.get_by_role("link", name="More like this")
        assert thumbs.count() == made.html.count("More like this")
        for kind, least in ((".vote-link", 40), (".compact-link", 40), (".line-link", 24)):
            for thumb in page.locator(kind).all()[:4]:
                height = thumb.evaluate(
                    "e => Math.max(e.offsetHeight, parseFloat(getComputedStyle(e).lineHeight))"
                )
                assert height >= least, kind
    page.close()


def test_the_dark_scheme_is_dark(browser):
    page = browser.new_page(color_scheme="dark")
    page.set_content(every_mail()["digest"].html)
    ground = page.locator(".sheet").evaluate("e => getComputedStyle(e).backgroundColor")
    assert max(map(int, re.findall(r"\d+", ground))) < 64
    page.close()


def test_headings_lead_from_paper_to_paper():
    html = every_mail()["digest"].html
    levels = re.findall(r"<h(\d)", html)
    assert levels == ["1", "2", "2", "2", "2"]  # the day, two papers, news, trending
