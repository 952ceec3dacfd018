"""A real browser for the tests: Chromium, of which the build without windows is there as a program
of its own in Debian, and takes half the time for a page."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser")


@contextmanager
def real_browser(*switches: str) -> Iterator[Browser]:
    """While it lasts, the thread has an event loop: what needs one of its own comes before."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("needs chromium: `apt-get install chromium-headless-shell` as .ci/run does")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", *switches])
        yield browser
        browser.close()
