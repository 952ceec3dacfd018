"""What a mail server says of our mail is read, whoever wrote it and however badly."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digest.errors import InputError
from digest.mail.reports import Report, kind_of, parse, parse_events

MARK = "1f.2c." + "0123456789abcdef0123"
OTHER = "1f.2d." + "0123456789abcdef0123"

DSN = """\
Return-Path: <>
From: Mail Delivery System <MAILER-DAEMON@mx.reader.test>
To: {to}
Date: Wed, 18 Nov 2026 08:30:00 +0000
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

I could not deliver your message.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.reader.test
Arrival-Date: Wed, 18 Nov 2026 08:29:00 +0000

Final-Recipient: rfc822; ada@reader.test
Action: {action}
Status: {status}
Diagnostic-Code: {said}

--b
Content-Type: {original}

From: Paper Digest <digest@digest.test>
Message-ID: <{mark}.1790000000000.digest@digest.test>
Subject: 3 on lanterns

--b--
"""

ARF = """\
From: <feedback@provider.test>
To: <abuse@digest.test>
Date: Wed, 18 Nov 2026 08:30:00 +0000
Subject: FW: 3 on lanterns
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

This is an email abuse report.
--b
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: SomeGenerator/1.0
Version: 1

--b
Content-Type: message/rfc822

From: Paper Digest <digest@digest.test>
Message-ID: <{mark}.1790000000000.digest@digest.test>
Subject: 3 on lanterns

Fog.
--b--
"""

PROSE = """\
Return-Path: <>
From: MAILER-DAEMON@mx.reader.test
To: digest@digest.test
Subject: failure notice

Hi. This is the mail program at mx.reader.test.
I'm afraid I wasn't able to deliver your message to the following addresses.

<ada@reader.test>:
192.0.2.5.1.1 does not like recipient.
Remote host said: 550 5.1.1 no such user

--- Below this line is a copy of the message.

Message-ID: <{mark}.1790000000000.digest@digest.test>
Subject: 3 on lanterns
"""


def dsn(**values):
    return DSN.format(
        **{
            "to": "digest@digest.test",
            "action": "failed",
            "status": "5.1.1",
            "said": "smtp; 550 5.1.1 no such user",
            "original": "message/rfc822",
            "mark": MARK,
        }
        | values
    ).encode()


def test_a_standard_notification():
    assert parse(dsn()) == Report(
        "hard",
        (MARK,),
        "5.1.1",
        "smtp; 550 5.1.1 no such user",
        datetime(2026, 11, 18, 8, 30, tzinfo=UTC),
    )


def test_the_headers_alone_may_come_back():
    assert parse(dsn(original="text/rfc822-headers")).marks == (MARK,)


def test_the_return_path_comes_first_and_may_have_lost_its_capitals():
    report = parse(dsn(to=f"Bounces+{OTHER.upper()}@digest.test"))
    assert report.marks == (OTHER, MARK)


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded"])
def test_what_is_no_failure_is_no_bounce(action):
    assert parse(dsn(action=action)) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *(("5.1.0", "hard"), ("5.1.1", "hard"), ("5.1.2", "hard"), ("5.1.10", "hard")),
        *(("5.2.1", "soft"), ("5.2.2", "soft"), ("4.4.7", "soft"), ("5.0.0", "soft")),
        *(("4.1.1", "soft"), ("5.3.4", "soft"), ("5.4.4", "soft")),
        *(("5.7.1", "policy"), ("5.7.26", "policy"), ("4.7.28", "policy"), ("5.7.515", "policy")),
        *(("5.1.8", "policy"), ("5.1.7", "policy"), ("5.6.7", "policy")),
    ],
)
def test_what_a_status_says_of_the_address(status, kind):
    assert kind_of(status) == kind
    assert parse(dsn(status=status)).kind == kind or status == "5.0.0"


def test_a_status_that_says_nothing_gives_way_to_the_answer():
    assert parse(dsn(status="5.0.0")).status == "5.1.1"
    assert parse(dsn(status="5.0.0", said="smtp; 550 no")).kind == "soft"
    assert parse(dsn(status="5.2.2")).status == "5.2.2"


def test_a_bounce_in_prose():
    report = parse(PROSE.format(mark=MARK).encode())
    assert (report.kind, report.status, report.marks) == ("hard", "5.1.1", (MARK,))
    assert report.detail == "Remote host said: 550 5.1.1 no such user"


def test_a_complaint():
    report = parse(ARF.format(mark=MARK).encode())
    assert (report.kind, report.detail, report.marks) == ("complaint", "abuse", (MARK,))


@pytest.mark.parametrize(
    "head",
    [
        "From: ada@reader.test\n",
        "From: ada@reader.test\nAuto-Submitted: auto-replied\n",
        "From: postmaster@reader.test\nAuto-Submitted: auto-replied\n",
    ],
)
def test_an_answer_of_a_reader_is_no_bounce(head):
    text = f"{head}To: digest@digest.test\n\n550 5.1.1 is what I got. {MARK}\n"
    assert parse(text.encode()) is None


pieces = st.sampled_from(
    [
        *("Content-Type: multipart/report; report-type=delivery-status; boundary=b\n", "--b\n"),
        *("Content-Type: message/delivery-status\n\n", "Content-Type: message/feedback-report\n\n"),
        *(
            "Action: failed\n",
            "Status: 5.9999.1\n",
            "Status: \xff\n",
            "Date: \x00\n",
            "\n",
            "--b--",
        ),
        *("Date: Wed, 99 Nov 99999999 99:99:99 +9999\n", "Content-Type: text/plain; charset=x\n"),
        *("Message-ID: <" + MARK + "@x>\n", "Return-Path: <>\n", "=?x?b?a?=\n"),
        "Content-Transfer-Encoding: base64\n",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(pieces | st.text(max_size=20), max_size=14))
@pytest.mark.slow
def test_whatever_comes_is_read_or_passed_over(parts):
    report = parse("".join(parts).encode("utf-8", "surrogatepass"))
    assert report is None or report.kind in ("hard", "soft", "policy", "complaint")
    assert report is None or report.detail.isprintable()


def body(**values):
    event = {"kind": "bounce", "message_id": f"<{MARK}.1.digest@digest.test>"} | values
    return json.dumps({"events": [event]}).encode()


def test_events_of_a_provider():
    assert parse_events(
        body(status="5.1.1", detail="no\nsuch user", at="2026-11-18T08:30:00Z")
    ) == [
        Report("hard", (MARK,), "5.1.1", "no such user", datetime(2026, 11, 18, 8, 30, tzinfo=UTC))
    ]
    assert parse_events(body())[0].kind == "soft"
    assert parse_events(body(kind="complaint"))[0].kind == "complaint"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "the body"),
        (b"[]", "the body"),
        (b"{}", "events"),
        (body(kind="open"), r"events\.0\.kind"),
        (body(status="2.0.0"), r"events\.0\.status"),
        (body(email="ada@reader.test"), r"events\.0\.email"),
    ],
)
def test_events_in_another_form_are_refused_by_name(raw, words):
    with pytest.raises(InputError, match=words):
        parse_events(raw)
