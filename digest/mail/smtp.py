"""One connection to the configured mail server: opened when needed, used for many messages."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NoReturn

import aiosmtplib

from digest.errors import MailError, SettingsError
from digest.settings import Smtp

# RFC 5321 gives a server ten minutes for its last answer, ten times what it has for others.
LAST_ANSWER = 10
LOGIN_WANTED = (530, 534, 535, 538)
GOING = 421


class Unreachable(MailError):
    """The server cannot be reached just now, or takes no further connection."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message, and what the server said, its last answer last.

    lost: the connection broke before DATA; unanswered: it broke or fell silent after, so that
    nobody knows whether the message was taken.
    """

    kind: Literal["accepted", "temporary", "permanent", "lost", "unanswered"]
    answers: tuple[str, ...]

    @property
    def reply(self) -> str:
        return self.answers[-1]


class Connection:
    """A connection to the server. Certificates are checked; what is configured is what happens:
    without TLS where TLS is asked for, nothing is sent."""

    def __init__(self, smtp: Smtp) -> None:
        self._smtp = smtp
        self._tls = _tls_context(smtp)
        self._client: aiosmtplib.SMTP | None = None
        self._carried = 0
        self._unfinished = False

    async def open(self) -> list[str]:
        """Connects, with TLS and login as configured; gives the server's greeting.

        Raises Unreachable, or MailError where certificate, TLS or login are refused.
        """
        smtp = self._smtp
        client = aiosmtplib.SMTP(
            hostname=smtp.host,
            port=smtp.port,
            username=smtp.username or None,
            password=smtp.password.get_secret_value() if smtp.username else None,
            use_tls=smtp.security == "tls",
            start_tls=smtp.security == "starttls",
            tls_context=self._tls,
            timeout=smtp.timeout,
        )
        try:
            greeting = await client.connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            _refuse(smtp, error)
        self._client, self._carried, self._unfinished = client, 0, False
        return [_line(greeting)]

    async def send(
        self, sender: str, recipient: str, content: bytes, before_data: Callable[[], None]
    ) -> Outcome:
        """Hands one message over; `before_data` is called when the server has taken the recipient
        and the message itself comes next.

        A connection that the server closed between two messages is opened again. Raises
        Unreachable, or MailError where the server refuses us and not the recipient.
        """
        worn = self._carried > 0
        outcome = await self._send(sender, recipient, content, before_data)
        if outcome.kind == "lost" and worn:
            outcome = await self._send(sender, recipient, content, before_data)
        return outcome

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is None or not client.is_connected:
            return
        try:
            await client.quit(timeout=5)
        except (aiosmtplib.SMTPException, OSError):
            client.close()  # all messages are settled; a goodbye without answer changes nothing

    async def _send(
        self, sender: str, recipient: str, content: bytes, before_data: Callable[[], None]
    ) -> Outcome:
        if self._client is None or not self._client.is_connected:
            await self.open()
        client = self._client
        assert client is not None
        answers: list[str] = []
        try:
            refused = await self._envelope(client, sender, recipient, answers)
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            return Outcome("lost", (*answers, _said(error)))
        if refused is not None:
            return Outcome(refused, tuple(answers))
        before_data()
        self._carried += 1
        return await self._content(client, content, answers)

    async def _envelope(
        self, client: aiosmtplib.SMTP, sender: str, recipient: str, answers: list[str]
    ) -> Literal["temporary", "permanent", "lost"] | None:
        if self._unfinished:
            await client.rset()
        self._unfinished = True
        try:
            answers.append(_line(await client.mail(sender)))
            answers.append(_line(await client.rcpt(recipient)))
        except (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPRecipientRefused) as error:
            answers.append(_said(error))
            if error.code == GOING:
                return "lost"
            about_us = isinstance(error, aiosmtplib.SMTPSenderRefused)
            if error.code >= 500 and (about_us or error.code in LOGIN_WANTED):
                raise MailError(
                    f"the mail server refused our sender address or login ({_said(error)}):"
                    " check mail.sender, smtp.username and smtp.password"
                ) from error
            return "permanent" if error.code >= 500 else "temporary"
        return None

    async def _content(
        self, client: aiosmtplib.SMTP, content: bytes, answers: list[str]
    ) -> Outcome:
        try:
            answer = await client.data(content, timeout=LAST_ANSWER * self._smtp.timeout)
        except aiosmtplib.SMTPDataError as error:
            if error.code == GOING:
                client.close()
            kind: Literal["permanent", "temporary"]
            kind = "permanent" if error.code >= 500 else "temporary"
            return Outcome(kind, (*answers, _said(error)))
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            return Outcome("unanswered", (*answers, _said(error)))
        self._unfinished = False
        return Outcome("accepted", (*answers, _line(answer)))


def _tls_context(smtp: Smtp) -> ssl.SSLContext | None:
    if smtp.security == "none":
        return None
    try:
        return ssl.create_default_context(cafile=smtp.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"smtp.ca_file: expected certificates in PEM form in {smtp.ca_file}: {error}"
        ) from error


def _refuse(smtp: Smtp, error: Exception) -> NoReturn:
    """Says what is wrong with the server as a whole, and what to look at."""
    where = f"the mail server {smtp.host}:{smtp.port}"
    tls = next((e for e in (error, error.__cause__) if isinstance(e, ssl.SSLError)), None)
    if isinstance(tls, ssl.SSLCertVerificationError):
        raise MailError(
            f"the certificate of {where} cannot be trusted ({tls.verify_message}):"
            " check smtp.host, or name its authority in smtp.ca_file"
        ) from error
    if tls is not None:
        raise MailError(
            f"no TLS with {where} ({tls.reason}): check smtp.port and smtp.security"
        ) from error
    code = getattr(error, "code", 0)
    if isinstance(error, aiosmtplib.SMTPAuthenticationError) and code >= 500:
        raise MailError(
            f"{where} refused the login ({_said(error)}): check smtp.username and smtp.password"
        ) from error
    passing = isinstance(error, OSError) and code < 500  # connection errors and time-outs too
    if passing or 400 <= code < 500:
        raise Unreachable(f"{where} cannot be used just now: {_said(error)}") from error
    raise MailError(
        f"{where} refused us ({_said(error)}): check smtp.security, smtp.username and smtp.port"
    ) from error


def _line(answer: aiosmtplib.SMTPResponse) -> str:
    return " ".join(f"{answer.code} {answer.message}".split())


def _said(error: Exception) -> str:
    """The server's answer on one line, or what happened instead."""
    code, message = getattr(error, "code", ""), getattr(error, "message", str(error))
    return " ".join(f"{code} {message}".split()) or type(error).__name__
