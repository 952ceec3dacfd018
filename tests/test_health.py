"""The pages for monitoring: behind a token, and in the form that Prometheus reads."""

import base64
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from test_figures import day
from web_door import read

from digest.delivery import deliver
from digest.figures import figures
from digest.web import create
from digest.web.metrics import families

TOKEN = "a long enough token"
OPS = Path(__file__).parent.parent / "ops"

pytestmark = pytest.mark.sqlite  # the rows are those of test_figures


def bearing(token=TOKEN):
    return {"Authorization": f"Bearer {token}"}


def as_browser(token=TOKEN, name="x"):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{token}".encode()).decode()}


@pytest.fixture
def web(app, door):
    settings = app.settings.web.model_copy(update={"status_token": SecretStr(TOKEN)})
    app = replace(app, settings=app.settings.model_copy(update={"web": settings}))
    door.pages = create(app)
    return door.client


def metrics(web):
    text = web.get("/metrics", headers=bearing()).text
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize("path", ["/metrics", "/status"])
def test_without_a_token_in_the_configuration_there_is_no_such_page(app, door, path):
    door.pages = create(app)
    for headers in ({}, bearing("x"), as_browser("")):
        assert door.client.get(path, headers=headers).status_code == 404


@pytest.mark.parametrize("path", ["/metrics", "/status"])
def test_only_the_token_opens_it(web, path):
    for headers in (bearing(), as_browser(), as_browser(name="")):
        answer = web.get(path, headers=headers)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    wrong = [
        {},
        bearing("wrong"),
        {"Authorization": "Bearer"},
        bearing(TOKEN + "x"),
        as_browser("wrong"),
        as_browser("ü"),
        {"Authorization": "Basic %%%"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Digest {TOKEN}"},
    ]
    for headers in wrong:
        answer = web.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic ")
    assert web.get(f"{path}?token={TOKEN}").status_code == 401
    assert web.post(path, headers=bearing()).status_code == 405


@pytest.mark.slow
def test_guessing_the_token_ends_soon(web, clock):
    codes = [web.get("/status", headers=bearing(f"guess {n}")).status_code for n in range(33)]
    assert codes == [401] * 30 + [429] * 3
    assert web.get("/status", headers=bearing()).status_code == 429
    clock.forward(minutes=1)
    assert web.get("/status", headers=bearing()).status_code == 200


def test_the_metrics_are_the_figures(app, web, ada, pia, clock):
    day(app, clock)
    deliver(app)
    clock.forward(minutes=5)
    web.get("/healthz")
    web.get("/papers/none")
    found = metrics(web)
    assert found["digest_announcements_week", "1", "cs.CV on arXiv", "new"] == 2
    assert found["digest_feed_failures", "1", "cs.CV on arXiv"] == 2
    assert found["digest_feed_checked_age_seconds", "1", "cs.CV on arXiv"] == 300
    assert found["digest_batches", "stale-suspect"] == 1
    assert (found["digest_batches_suspect",], found["digest_papers_missing",]) == (2, 6)
    assert (found["digest_subscribers", "active"], found["digest_subscribers", "paused"]) == (1, 1)
    assert found["digest_mails_day", "digest", "sent"] == 1
    assert (found["digest_outbox", "queued"], found["digest_alerts",]) == (0, 1)
    assert found["digest_last_delivery_age_seconds",] == 300
    assert found["digest_job_failures", "", "send"] == 4
    requests = {key[1:]: value for key, value in found.items() if key[0].startswith("digest_req")}
    assert requests["/healthz", "200", "GET"] == 1
    assert requests["/papers/{id:path}", "404", "GET"] == 1


def test_no_page_of_monitoring_names_a_reader_or_a_key(app, web, ada, clock):
    day(app, clock)
    deliver(app)
    for path in ("/metrics", "/status"):
        said = web.get(path, headers=bearing()).text
        for word in (ada.email, ada.name, "S3CRET", TOKEN):
            assert word not in said


def test_the_status_page_tells_what_is_going_on(app, web, ada, clock):
    said = read(web.get("/status", headers=bearing()))
    assert "No open troubles" in said and "There is no feed" in said
    day(app, clock)
    deliver(app)
    clock.forward(minutes=5)
    said = read(web.get("/status", headers=bearing()))
    for words in (
        "1 open trouble. ",
        "Nobody.",
        "1 cs.CV on arXiv",
        "5 min ago",
        "1 stale-suspect",
        "digest, sent 1",
        "1 active",
    ):
        assert words in said, words


def names_in(text):
    return set(re.findall(r"\bdigest_\w+", text))


@pytest.mark.parametrize("file", ["alerts.yml", "dashboard.json"])
def test_what_the_rules_and_the_dashboard_name_is_exported(app, web, ada, clock, file):
    day(app, clock)
    deliver(app)
    web.get("/")
    exported = {name for name, *_ in metrics(web)}
    text = (OPS / file).read_text("utf-8")
    if file.endswith(".json"):
        panels = json.loads(text)["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        text = " ".join(target["expr"] for panel in panels for target in panel.get("targets", ()))
    named = names_in(text)
    assert len(named) > 5
    assert named <= exported


def test_every_metric_says_what_it_is(app):
    for family in families(figures(app), app.now()).collect():
        assert family.documentation.endswith(".")
