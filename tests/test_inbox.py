"""Where mails that come back are found: files, a maildir, an IMAP server."""

import mailbox as mailboxes

import pytest
from conftest import free_port
from returned import mark_of, notice, sent, with_bounces

from digest.errors import InputError, MailError, SettingsError
from digest.mail import bounces
from digest.mail.bounces import Processed


def test_a_maildir_of_the_operators_stays_as_it_is(app, ada, tmp_path):
    box = mailboxes.Maildir(tmp_path / "box")
    box.add(notice(mark_of(app, sent(app, ada))))
    before = sorted(p.name for p in (tmp_path / "box/new").iterdir())
    assert bounces.process(app, tmp_path / "box").suppressed == 1
    assert sorted(p.name for p in (tmp_path / "box/new").iterdir()) == before
    one = tmp_path / "one.eml"
    one.write_bytes(notice(mark_of(app, sent(app, ada)), "5.7.1"))
    assert bounces.process(app, one).warned == 1


def test_the_configured_maildir_is_read_once(app, ada, tmp_path):
    box = mailboxes.Maildir(tmp_path / "box")
    box.add(notice(mark_of(app, sent(app, ada))))
    own = with_bounces(app, maildir=tmp_path / "box")
    assert bounces.process(own, dry_run=True).seen == 1
    assert bounces.process(own) == Processed(seen=1, suppressed=1)
    assert bounces.process(own) == Processed()
    [kept] = (tmp_path / "box/cur").iterdir()
    assert kept.name.endswith(":2,S")


@pytest.mark.parametrize("name", ["nothing", "folder"])
def test_a_place_that_is_no_mailbox_is_named(app, tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=name):
        bounces.process(app, tmp_path / name)


def test_without_a_mailbox_the_settings_are_named(app):
    with pytest.raises(SettingsError, match=r"bounces\.maildir"):
        bounces.process(app)


def test_an_imap_server_that_is_away_is_named(app):
    port = free_port()
    own = with_bounces(app, imap_host="127.0.0.1", imap_port=port, imap_security="none")
    with pytest.raises(MailError, match=str(port)):
        bounces.process(own)
