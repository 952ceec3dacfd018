"""The doctor asks name servers: each record that lacks is given word by word, and then is right."""

import re
from pathlib import Path

import pytest
from patient import Names, _serving, check, configured, found, healthy, joined, names, signing

from digest.app import App

__all__ = ["_serving", "healthy", "names"]  # fixtures
pytestmark = pytest.mark.sqlite


def test_records_that_are_right(healthy: App, names: Names, tmp_path: Path) -> None:
    app, key = signing(healthy, tmp_path)
    # Split, with spaces and other tags, as name servers and their pages make it.
    names.texts["s1._domainkey.bookham-library.org"] = [
        f"v=DKIM1;k=rsa; t=s; p={key[:100]} {key[100:]}"
    ]
    assert [f for f in check(app) if f.state != "ok"] == []
    assert "v=spf1 mx ~all" in found(app, "spf", "ok").sentence
    assert found(app, "dkim record", "ok")
    assert found(app, "dmarc", "ok")


def test_records_that_are_missing_are_given_word_by_word(
    healthy: App, names: Names, tmp_path: Path
) -> None:
    app, key = signing(healthy, tmp_path)
    names.publish({})
    spf = found(app, "spf", "fail").mend
    assert spf.startswith('Publish: bookham-library.org. IN TXT "v=spf1 ')
    assert spf.endswith('~all"')
    dmarc = found(app, "dmarc", "warn").mend
    assert dmarc == 'Publish: _dmarc.bookham-library.org. IN TXT "v=DMARC1; p=none"'
    dkim = found(app, "dkim record", "fail").mend
    assert dkim.startswith('Publish: s1._domainkey.bookham-library.org. IN TXT "v=DKIM1; ')
    assert joined(dkim) == f"v=DKIM1; k=rsa; p={key}"
    assert max(map(len, re.findall(r'"([^"]*)"', dkim))) <= 255
    # What it says, published, is right.
    names.publish(
        {
            "bookham-library.org": [joined(spf)],
            "_dmarc.bookham-library.org": [joined(dmarc)],
            "s1._domainkey.bookham-library.org": [joined(dkim)],
        }
    )
    assert [f for f in check(app) if f.state != "ok"] == []


@pytest.mark.parametrize(
    ("name", "texts", "finding", "state", "words"),
    [
        ("bookham-library.org", ["v=spf1 mx ~all", "v=spf1 ~all"], "spf", "fail", "2 SPF"),
        ("bookham-library.org", ["v=spf1 +all"], "spf", "warn", "everybody"),
        ("bookham-library.org", ["v=spf10 ~all"], "spf", "fail", "no SPF"),
        ("_dmarc.bookham-library.org", ["v=DMARC1"], "dmarc", "warn", "no policy"),
        (
            "_dmarc.bookham-library.org",
            ["v=DMARC1; p=none", "v=DMARC1; p=reject"],
            "dmarc",
            "fail",
            "several",
        ),
        ("s1._domainkey.bookham-library.org", ["v=DKIM1; p="], "dkim record", "fail", "another"),
        ("s1._domainkey.bookham-library.org", ["p=AAAA"], "dkim record", "fail", "another"),
    ],
)
def test_records_that_are_wrong(
    healthy: App,
    names: Names,
    tmp_path: Path,
    name: str,
    texts: list[str],
    finding: str,
    state: str,
    words: str,
) -> None:
    app, key = signing(healthy, tmp_path)
    names.texts["s1._domainkey.bookham-library.org"] = [f"v=DKIM1; p={key}"]
    names.texts[name] = texts
    assert words in found(app, finding, state).sentence


def test_a_policy_of_the_domain_above_counts(healthy: App, names: Names) -> None:
    below = configured(healthy, {"mail": {"sender": "digest@news.bookham-library.org"}})
    assert "_dmarc.bookham-library.org" in found(below, "dmarc", "ok").sentence
    assert "_dmarc.org" not in names.asked


def test_a_signature_of_another_domain_counts_for_nothing(
    healthy: App, names: Names, tmp_path: Path
) -> None:
    app, key = signing(healthy, tmp_path, "post.dorking.org")
    names.texts["s1._domainkey.post.dorking.org"] = [f"v=DKIM1; p={key}"]
    assert "bookham-library.org" in found(app, "dkim domain", "warn").mend


def test_the_return_path_is_whose_spf_counts(healthy: App, names: Names) -> None:
    app = configured(healthy, {"mail": {"bounce_address": "back@post.bookham-library.org"}})
    assert "post.bookham-library.org" in found(app, "spf", "fail").sentence


def test_without_a_network_that_is_said_and_what_to_publish(
    healthy: App, names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names.resolver, "lifetime", 0.2)
    names.silent = True
    app, key = signing(healthy, tmp_path)
    finding = found(app, "dns", "warn")
    assert "bookham-library.org" in finding.sentence
    assert key[:100] in finding.mend


def test_a_domain_of_this_machine_alone_is_not_asked_for(healthy: App, names: Names) -> None:
    names.asked.clear()
    here = {"web": {"base_url": "http://localhost:8000"}}
    check(configured(healthy, here | {"mail": {"sender": "Digest <digest@localhost>"}}))
    assert names.asked == []
