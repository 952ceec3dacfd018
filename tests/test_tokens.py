"""Signed links: good for one purpose, one person, one time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.tokens import LIFETIME, ExpiredToken, InvalidToken, Tokens

NOW = datetime(2026, 11, 18, 9, tzinfo=UTC)
TOKENS = Tokens(["a" * 40])


def test_a_token_says_what_was_signed():
    token = TOKENS.read("vote", TOKENS.sign("vote", 17, 2, NOW, 99), NOW)
    assert (token.subscriber_id, token.epoch, token.subject) == (17, 2, 99)
    assert token.issued_at == NOW


def test_every_changed_character_is_noticed():
    token = TOKENS.sign("unsubscribe", 17, 0, NOW)
    for at in range(len(token) - 1):  # base64's last character has spare bits
        forged = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        with pytest.raises(InvalidToken):
            TOKENS.read("unsubscribe", forged, NOW)


@given(st.text(max_size=80))
def test_rubbish_is_invalid_and_no_crash(text: str):
    with pytest.raises(InvalidToken):
        TOKENS.read("confirm", text, NOW)


HOURS = {
    "sensitive": 1,
    "confirm": 48,
    "address": 48,
    "preferences": 30 * 24,
    "vote": 60 * 24,
    "unsubscribe": 730 * 24,
    "one-click": 730 * 24,
}


def test_only_what_shows_and_the_webhook_holds_for_good():
    assert LIFETIME.keys() - HOURS.keys() == {"view", "feed", "bounces"}
    for purpose in LIFETIME.keys() - HOURS.keys():
        token = TOKENS.sign(purpose, 1, 0, NOW)
        assert TOKENS.read(purpose, token, NOW + timedelta(days=9999)).subscriber_id == 1


@pytest.mark.parametrize("purpose", HOURS)
def test_it_holds_for_its_time_to_the_minute(purpose):
    """A token is of a minute: at most two more than promised are given."""
    token = TOKENS.sign(purpose, 1, 0, NOW + timedelta(seconds=59))
    end = NOW + timedelta(hours=HOURS[purpose])
    assert TOKENS.read(purpose, token, end + timedelta(seconds=59)).subscriber_id == 1
    with pytest.raises(ExpiredToken):
        TOKENS.read(purpose, token, end + timedelta(minutes=2))


@pytest.mark.parametrize("purpose", LIFETIME)
def test_links_outlive_one_rotation_of_the_secret(purpose):
    old = TOKENS.sign(purpose, 5, 0, NOW)
    rotated = Tokens(["b" * 40, "a" * 40])
    assert rotated.read(purpose, old, NOW).subscriber_id == 5
    fresh = rotated.sign(purpose, 5, 0, NOW)
    assert Tokens(["b" * 40]).read(purpose, fresh, NOW).subscriber_id == 5
    with pytest.raises(InvalidToken):
        Tokens(["b" * 40]).read(purpose, old, NOW)


@pytest.mark.parametrize("purpose", ["unsubscribe", "one-click"])
def test_leaving_works_a_year_later_after_a_rotation(purpose):
    old = TOKENS.sign(purpose, 5, 0, NOW)
    rotated = Tokens(["b" * 40, "a" * 40])
    assert rotated.read(purpose, old, NOW + timedelta(days=366)).subscriber_id == 5


@pytest.mark.parametrize("purpose", LIFETIME)
def test_no_token_is_good_for_anything_else(purpose):
    token = TOKENS.sign(purpose, 17, 0, NOW)
    for other in LIFETIME.keys() - {purpose}:
        with pytest.raises(InvalidToken) as refused:
            TOKENS.read(other, token, NOW)
        assert refused.type is InvalidToken


def test_every_shorter_and_longer_one_is_invalid():
    token = TOKENS.sign("preferences", 17, 3, NOW, 4)
    for end in range(len(token)):
        with pytest.raises(InvalidToken):
            TOKENS.read("preferences", token[:end], NOW)
    for more in ("A", "=", ".", "\n", " ", "\0", "é", "x" * 1_000_000):
        with pytest.raises(InvalidToken):
            TOKENS.read("preferences", token + more, NOW)
        with pytest.raises(InvalidToken):
            TOKENS.read("preferences", more + token, NOW)


@given(st.text(max_size=80))
def test_rubbish_is_no_mark(text):
    with pytest.raises(InvalidToken):
        TOKENS.read_mark(text)


def test_an_address_is_known_again_after_a_rotation():
    kept = TOKENS.address_hashes("ada@reader.test")[0]
    rotated = Tokens(["b" * 40, "a" * 40]).address_hashes("ada@reader.test")
    assert kept in rotated[1:] and rotated[0] != kept
    assert "ada" not in kept
