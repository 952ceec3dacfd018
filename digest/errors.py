"""Every exception that a door turns into one clear line and exit code 1.

DigestError
├── SettingsError      a setting is wrong; names it and what was expected
├── InputError         something a person gave is wrong (address, paper id, time zone, file)
│   └── NotFound       it is well-formed, but there is no such thing
├── FeedError          a feed could not be fetched or is not a feed
├── TooMany            more was asked for than is given in a while; try later
├── DatabaseError      the schema is too new, the file is locked, the disk is full
└── MailError          the mail server refused us as a whole (login, TLS, sender)
"""

from typing import Literal


class DigestError(Exception):
    """The work could not be done; the message is a sentence that the operator can act on."""


class SettingsError(DigestError):
    pass


class InputError(DigestError):
    pass


class NotFound(InputError):
    pass


class FeedError(DigestError):
    """A feed could not be read. `retry_after` is in seconds where the server named a wait; `kind`
    is `no host` where its name has no address, else empty."""

    def __init__(
        self, message: str, *, retry_after: float | None = None, kind: Literal["", "no host"] = ""
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.kind = kind


class TooMany(DigestError):
    """`retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DatabaseError(DigestError):
    pass


class MailError(DigestError):
    pass
