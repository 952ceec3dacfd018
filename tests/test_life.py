"""The whole life of a subscriber in a real browser, against the service as a process, with the
mails read from a real SMTP server; each page on the way is looked at for what shuts people out."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.message import EmailMessage
from html import unescape
from pathlib import Path
from typing import Any, Literal

import pytest
from conftest import Clock, Mailbox, announce, free_port
from playwright.sync_api import Browser, Page, expect
from real_browser import real_browser
from sqlmodel import select

from digest.app import App
from digest.models import Feedback, StoredSpace, Subscriber

HERE = Path(__file__).parent
AXE = HERE / "mail_clients" / "node_modules" / "axe-core" / "axe.min.js"
EMAIL = "lea@reader.test"

# What is asked of a page; in the dark, what depends on colours.
RULES: dict[Literal["light", "dark"], list[str]] = {
    "light": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "dark": ["color-contrast", "link-in-text-block"],
}
RUN = "rules => axe.run({runOnly: rules, resultTypes: ['violations']})"

IMAGES = [f"Diffusion models for image generation with {what}" for what in (
    *("fewer steps", "better guidance", "learned schedules", "sparse attention", "latent codes"),
    *("layout control", "text prompts", "physics priors", "depth maps", "video frames"),
)]  # fmt: skip
GALAXIES = [f"Galaxy surveys and {what}" for what in (
    *("the clustering of dwarfs", "redshift errors", "spiral arms", "faint satellites"),
    *("stellar streams", "dark halos", "cosmic voids", "strong lenses", "radio lobes"),
)]  # fmt: skip
PROTEINS = [f"Protein folding under {what}" for what in (
    *("pressure", "crowding", "mutation", "heat", "chaperones", "salt", "shear", "confinement"),
)]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not AXE.exists():
        pytest.skip("needs `npm ci` in tests/mail_clients")
    with real_browser() as started:
        yield started


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A phone; the pages' own policy stands aside for the checker's script alone."""
    context = browser.new_context(
        viewport={"width": 360, "height": 740}, bypass_csp=True, timezone_id="Europe/Lisbon"
    )
    context.set_default_timeout(20_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def service(app: App, clock: Clock, mailbox: Mailbox, tmp_path: Path) -> Iterator[dict[str, str]]:
    """`digest run` on this database; gives its settings as the environment has them."""
    clock.moment = clock.moment.now(tz=clock.moment.tzinfo)  # the process has its own clock
    port = free_port()
    settings = {
        "DIGEST_DATABASE__URL": app.settings.database.url,
        "DIGEST_WEB__PORT": str(port),
        "DIGEST_WEB__BASE_URL": f"http://127.0.0.1:{port}",
        "DIGEST_WEB__SECRET": "s" * 40,
        "DIGEST_SMTP__HOST": "127.0.0.1",
        "DIGEST_SMTP__PORT": str(mailbox.port),
    }
    announce(app, clock().date() - timedelta(days=1), [*IMAGES[:7], *GALAXIES[:6], *PROTEINS[:6]])
    log = tmp_path / "log"
    with log.open("w") as errors:
        running = subprocess.Popen(
            [sys.executable, "-m", "digest", "run"], env=os.environ | settings, stderr=errors
        )
    try:
        assert until(lambda: "event=listening" in log.read_text()), log.read_text()
        assert until(lambda: _has_space(app)), log.read_text()
        yield settings
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=60) == 0, log.read_text()
        assert EMAIL not in log.read_text()
    finally:
        running.kill()


def _has_space(app: App) -> bool:
    with app.db.read() as session:
        return session.exec(select(StoredSpace.version)).first() is not None


def until(true: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def mail(mailbox: Mailbox, subject: str) -> EmailMessage:
    """The mail whose subject has these words, as soon as it is there."""

    def found() -> EmailMessage | None:
        return next(
            (each for each in mailbox.messages if re.search(subject, each["Subject"])), None
        )

    arrived = until(found)
    assert arrived, [each["Subject"] for each in mailbox.messages]
    mailbox.envelopes.clear()
    return arrived


def link(message: EmailMessage, path: str) -> str:
    html = message.get_body(("html",))
    assert html is not None
    links = [unescape(each) for each in re.findall(r'href="([^"]+)"', html.get_content())]
    return next(each for each in links if re.search(path, each))


def titles(message: EmailMessage) -> list[str]:
    """The papers of a digest, in its order."""
    text = message.get_body(("plain",))
    assert text is not None
    shown = text.get_content()
    places = {title: shown.find(title) for title in (*IMAGES, *GALAXIES, *PROTEINS)}
    return sorted((title for title, at in places.items() if at >= 0), key=lambda t: places[t])


def look(page: Page, name: str) -> None:
    """What axe finds wrong, light and dark; with SCREENSHOTS set, pictures go into that folder."""
    page.evaluate(AXE.read_text())
    for scheme, rules in RULES.items():
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found = page.evaluate(RUN, rules)
        told = [
            f"{name}, {scheme}: {each['help']}: {node['html']}"
            for each in found["violations"]
            for node in each["nodes"]
        ]
        assert not told, "\n".join(told)
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{name} is {wide} px too wide for a phone"
        if folder := os.environ.get("SCREENSHOTS"):
            for width in (360, 1200):
                page.set_viewport_size({"width": width, "height": 740})
                page.screenshot(path=f"{folder}/{name}-{width}-{scheme}.png", full_page=True)
            page.set_viewport_size({"width": 360, "height": 740})
    page.emulate_media(color_scheme="light")


@pytest.mark.sqlite
def test_a_subscriber_comes_stays_and_goes(
    app: App, clock: Clock, mailbox: Mailbox, service: dict[str, str], page: Page
) -> None:
    base = service["DIGEST_WEB__BASE_URL"]
    _subscribes(page, base)
    confirm = link(mail(mailbox, "onfirm"), "/confirm/")
    welcome = _confirms(app, mailbox, page, confirm)
    _rates_a_few(app, page)
    _votes(app, page, welcome)
    _sees_the_next_digest_change(app, clock, mailbox, service, welcome)
    _edits(app, page, link(welcome, "/preferences/"))
    mine = _asks_for_the_data(mailbox, page)
    _exports(page, mine)
    _leaves(app, page, link(welcome, "/unsubscribe/"))
    _is_erased(app, page, mine)
    for path in ("/papers", "/papers?q=galaxy", "/papers?q=nothing-like-it", "/absent"):
        page.goto(base + path)
        look(page, re.sub(r"\W+", "-", path).strip("-"))
    page.goto(base + "/papers")
    page.get_by_role("link", name=IMAGES[7]).first.click()
    look(page, "paper")


def _subscribes(page: Page, base: str) -> None:
    page.goto(base)
    look(page, "front")
    page.get_by_label("What do you want to read about?").press_sequentially("image generation")
    expect(page.locator("#bring")).to_contain_text("Diffusion models")
    look(page, "front-preview")
    expect(page.locator("[name=timezone]")).to_have_value("Europe/Lisbon")
    page.get_by_label("Email address").first.fill(EMAIL)
    page.get_by_role("button", name="Subscribe").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    look(page, "sent")


def _confirms(app: App, mailbox: Mailbox, page: Page, address: str) -> EmailMessage:
    page.goto(address)
    look(page, "confirm")
    assert _person(app).status == "pending"  # looking is not confirming
    page.get_by_role("button", name="Yes").click()
    look(page, "confirmed")
    assert _person(app).status == "active"
    assert _person(app).timezone == "Europe/Lisbon"
    welcome = mail(mailbox, "image generation|Diffusion|paper")
    assert titles(welcome)[0] in IMAGES
    return welcome


def _rates_a_few(app: App, page: Page) -> None:
    """From the page after confirming: galaxies up, images down, the rest passed over."""
    page.get_by_role("link", name="Rate a few papers").click()
    look(page, "calibrate")
    for group in page.locator("fieldset").all():
        named = group.inner_text()
        if "Galaxy" in named:
            group.get_by_label("More").check()
        elif "image generation" in named:
            group.get_by_label("Less").check()
    page.get_by_role("button", name="Save my votes").click()
    expect(page.get_by_role("status")).to_contain_text("Noted")
    look(page, "calibrated")
    assert _vote_count(app) > 3


def _votes(app: App, page: Page, welcome: EmailMessage) -> None:
    before = _vote_count(app)
    page.goto(link(welcome, "/vote/"))
    look(page, "vote")
    assert _vote_count(app) == before
    page.get_by_role("button", name="Yes").first.click()
    expect(page.get_by_role("status")).to_contain_text("Noted")
    look(page, "voted")


def _sees_the_next_digest_change(
    app: App, clock: Clock, mailbox: Mailbox, service: dict[str, str], welcome: EmailMessage
) -> None:
    """Galaxies were rated up: without that, her topic would bring images alone to the top."""
    assert not set(titles(welcome)[:3]) & set(GALAXIES)
    announce(app, clock().date(), [*IMAGES[7:], *GALAXIES[6:], *PROTEINS[6:]])
    # What this puts into the outbox, the service beside it may be the one to send.
    subprocess.run(
        [sys.executable, "-m", "digest", "deliver", "--day", f"{clock():%Y-%m-%d}"],
        env=os.environ | service,
        check=True,
    )
    assert set(titles(mail(mailbox, "."))[:3]) & set(GALAXIES)


def _edits(app: App, page: Page, address: str) -> None:
    page.goto(address)
    look(page, "preferences")
    page.get_by_label("Topics", exact=True).fill("protein folding ^2")
    page.get_by_role("button", name="What would tomorrow").click()
    expect(page.locator("#bring")).to_contain_text("Protein folding")
    assert _person(app).topics[0][0] == "image generation"
    look(page, "preferences-preview")
    page.get_by_role("button", name="Save").click()
    assert _person(app).topics == [["protein folding", 2.0]]


def _asks_for_the_data(mailbox: Mailbox, page: Page) -> str:
    page.get_by_role("button", name="Mail me that link").click()
    return link(mail(mailbox, "data|link"), "/my-data/")


def _exports(page: Page, mine: str) -> None:
    page.goto(mine)
    look(page, "my-data")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download my data").click()
    held = json.loads(Path(download.value.path()).read_text())
    assert EMAIL in json.dumps(held)


def _leaves(app: App, page: Page, address: str) -> None:
    page.goto(address)
    look(page, "unsubscribe")
    assert _person(app).status == "active"
    page.get_by_role("button", name="nsubscribe").click()
    look(page, "unsubscribed")
    assert _person(app).status == "removed"


def _is_erased(app: App, page: Page, mine: str) -> None:
    page.goto(mine)
    page.get_by_role("button", name="Erase me").click()
    look(page, "erase")
    page.get_by_role("button", name="Yes, erase everything").click()
    look(page, "erased")
    with app.db.read() as session:
        assert session.exec(select(Subscriber)).all() == []
        assert session.exec(select(Feedback)).all() == []


def _person(app: App) -> Subscriber:
    with app.db.read() as session:
        return session.exec(select(Subscriber)).one()


def _vote_count(app: App) -> int:
    with app.db.read() as session:
        return len(session.exec(select(Feedback)).all())
