"""What the big mail programs support of our mails, and whether the markup is sound: by caniemail
and html-validate, which run offline. `npm ci` in tests/mail_clients fetches them; accepted.json
names each finding that is accepted, and what its reader sees instead."""

import json
import shutil
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from test_render import ABSTRACT, ENV, copies, item, mail

from digest.mail import letters
from digest.mail.render import Note, Trend, render_digest

HERE = Path(__file__).parent / "mail_clients"
ACCEPTED = json.loads((HERE / "accepted.json").read_text("utf-8"))

TREND = Trend("Tides of glass", "https://papers.test/abs/7", ("Ann Ode",), "128 upvotes")
NOTE = Note("Moth and moon", "https://papers.test/abs/8", "v2, title changed")


def every_mail():
    """A digest with all that one can hold, one of many papers, and each letter."""
    rich = [replace(item(1), similar=copies(2)), replace(item(2), exploring=True)]
    many = [item(number, abstract=ABSTRACT * 20) for number in range(1, 51)]
    common = {"service": "Paper Digest", "postal_address": "1 Library Lane, Bookham"}
    link = "https://digest.test/preferences/p"
    return {
        "digest": render_digest(ENV, mail(*rich, trending=(TREND,), news=(NOTE,))),
        "many": render_digest(ENV, mail(*many)),
        "confirm": letters.render_confirmation(
            ENV, **common, confirm_url=link, lifetime=timedelta(days=2)
        ),
        "link": letters.render_link(
            ENV,
            **common,
            preferences_url=link,
            unsubscribe_url=link,
            lifetime=timedelta(days=30),
        ),
        "test": letters.render_test(ENV, **common),
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
