"""The links that mails carry, and how a vote link says which pick and which way."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from digest.tokens import InvalidToken, Purpose, Tokens

Vote = Literal["up", "down"]

_LETTER: dict[Vote, str] = {"up": "u", "down": "d"}
_VOTE: dict[str, Vote] = {letter: vote for vote, letter in _LETTER.items()}


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whose links they are, since when, and of which digest.

    `since` is the moment the mail was made, not the one it is sent: made again, a mail has the
    same links. `view_epoch` is that of the links that only show.
    """

    subscriber_id: int
    epoch: int
    since: datetime
    digest_id: int = 0
    view_epoch: int = 0


class Links:
    """The addresses of the pages under `base_url` that a mail's reader may open."""

    def __init__(self, base_url: str, tokens: Tokens) -> None:
        self._base_url = base_url
        self._tokens = tokens

    def votes(self, bearer: Bearer) -> Callable[[int, Vote], str]:
        """Gives the link for (position, vote). All links of a digest share one signature."""
        stem = self._url("vote", "vote", bearer, bearer.digest_id)
        return lambda position, vote: f"{stem}.{position}{_LETTER[vote]}"

    def view(self, bearer: Bearer) -> str:
        return self._url("digests", "view", bearer, bearer.digest_id, epoch=bearer.view_epoch)

    def feed(self, bearer: Bearer) -> str:
        return self._url("feed", "feed", bearer, epoch=bearer.view_epoch) + ".xml"

    def preferences(self, bearer: Bearer) -> str:
        return self._url("preferences", "preferences", bearer)

    def unsubscribe(self, bearer: Bearer) -> str:
        return self._url("unsubscribe", "unsubscribe", bearer)

    def one_click(self, bearer: Bearer) -> str:
        return self._url("one-click", "one-click", bearer)

    def confirm(self, bearer: Bearer) -> str:
        return self._url("confirm", "confirm", bearer)

    def my_data(self, bearer: Bearer) -> str:
        """What takes a fresh link: one's data, a change of address, being erased."""
        return self._url("my-data", "sensitive", bearer)

    def address(self, bearer: Bearer, message_id: int) -> str:
        """Confirms the address that the mail of this id goes to."""
        return self._url("address", "address", bearer, message_id)

    def _url(
        self,
        path: str,
        purpose: Purpose,
        bearer: Bearer,
        subject: int = 0,
        epoch: int | None = None,
    ) -> str:
        """`epoch` where it is not the one of the links that act."""
        token = self._tokens.sign(
            purpose,
            bearer.subscriber_id,
            bearer.epoch if epoch is None else epoch,
            bearer.since,
            subject,
        )
        return f"{self._base_url}/{path}/{token}"


def split_vote(token: str) -> tuple[str, int, Vote]:
    """A vote link's last part as the signed token, the pick's position and the vote.

    The signature does not cover position and vote: the token proves whose digest it is, and
    whoever may vote on one of its picks may vote on all. Raises InvalidToken.
    """
    signed, _, suffix = token.rpartition(".")
    position, vote = suffix[:-1], _VOTE.get(suffix[-1:])
    if not signed or vote is None or not (position.isascii() and position.isdigit()):
        raise InvalidToken
    if len(position) > 3:
        raise InvalidToken
    return signed, int(position), vote
