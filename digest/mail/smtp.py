"""One connection to the configured mail server: opened when needed, used for many messages."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
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

    withheld: `before_data` said no; lost: the connection broke before DATA; unanswered: it broke
    or fell silent after, so that nobody knows whether the message was taken. `slow`: the server
    wants nothing more from us just now, whatever the message.
    """

    kind: Literal["accepted", "temporary", "permanent", "withheld", "lost", "unanswered"]
    answers: tuple[str, ...]
    slow: bool = False

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
        self._until: float | None = None  # when the answer that is awaited must be there
        self._late = False
        self._timer: asyncio.TimerHandle | None = None

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
            local_hostname=_own_name(),
        )
        try:
            greeting = await client.connect()
            await _greet(client)
        except (aiosmtplib.SMTPException, OSError) as error:
            _refuse(smtp, error)
        self._client, self._carried, self._unfinished = client, 0, False
        return [_line(greeting)]

    async def send(
        self,
        sender: str,
        recipient: str,
        content: bytes,
        before_data: Callable[[], bool],
        *,
        dotless: bool = False,
    ) -> Outcome:
        """Hands one message over, whose lines end in CRLF. `before_data` is called when the server
        has taken the recipient and the message itself comes next; False keeps it back. `dotless`
        says that none of its lines begins with a dot, which takes as long to find out as all else
        here.

        Where the server closes a connection between two messages, or takes no more over it, another
        one is opened. Raises Unreachable, or MailError where the server refuses us and not the
        recipient.
        """
        if not dotless:
            content = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..").removeprefix(b"\r\n")
        worn = self._carried > 0
        outcome = await self._send(sender, recipient, content, before_data)
        if worn and (outcome.kind == "lost" or outcome.slow):
            await self.close()
            outcome = await self._send(sender, recipient, content, before_data)
        return outcome

    async def close(self) -> None:
        client, self._client = self._client, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if client is None or not client.is_connected:
            return
        try:
            await client.quit(timeout=5)
        except (aiosmtplib.SMTPException, OSError):
            client.close()  # all messages are settled; a goodbye without answer changes nothing

    async def _send(
        self, sender: str, recipient: str, content: bytes, before_data: Callable[[], bool]
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
            return refused
        if not before_data():
            return Outcome("withheld", tuple(answers))
        self._carried += 1
        return await self._content(client, content, answers)

    async def _envelope(
        self, client: aiosmtplib.SMTP, sender: str, recipient: str, answers: list[str]
    ) -> Outcome | None:
        """The refusal of sender or recipient, or None."""
        if self._unfinished:
            await client.rset()
        international = not recipient.isascii()
        if international and not client.supports_extension("smtputf8"):
            answers.append("553 5.6.7 this mail server takes no address beyond ASCII (SMTPUTF8)")
            return Outcome("permanent", tuple(answers))
        self._unfinished = True
        options = " SMTPUTF8 BODY=8BITMIME" if international else ""
        sent_from = await self._command(client, f"MAIL FROM:<{sender}>{options}")
        answers.append(_line(sent_from))
        about_us = sent_from.code != 250
        answer = sent_from if about_us else await self._command(client, f"RCPT TO:<{recipient}>")
        if not about_us:
            answers.append(_line(answer))
        if answer.code in (250, 251):
            return None
        if answer.code == GOING:
            client.close()
            return Outcome("lost", tuple(answers), slow=True)
        if answer.code >= 500 and (about_us or answer.code in LOGIN_WANTED):
            raise MailError(
                f"the mail server refused our sender address or login ({answers[-1]}):"
                " check mail.sender, smtp.username and smtp.password"
            )
        kind: Literal["permanent", "temporary"]
        kind = "permanent" if answer.code >= 500 else "temporary"
        return Outcome(kind, tuple(answers), slow=about_us)

    async def _content(
        self, client: aiosmtplib.SMTP, content: bytes, answers: list[str]
    ) -> Outcome:
        kind: Literal["permanent", "temporary", "lost", "unanswered"] = "lost"
        try:
            answer = await self._command(client, "DATA")
            if answer.code == 354:
                kind = "unanswered"
                answer = await self._lines(client, content)
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            return Outcome(kind, (*answers, _said(error)))
        answers.append(_line(answer))
        if answer.code == 250:
            self._unfinished = False
            return Outcome("accepted", tuple(answers))
        if answer.code == GOING:
            client.close()
        kind = "permanent" if answer.code >= 500 else "temporary"
        return Outcome(kind, tuple(answers), slow=answer.code == GOING)

    async def _lines(self, client: aiosmtplib.SMTP, content: bytes) -> aiosmtplib.SMTPResponse:
        """Sends the message itself. `client.data` would look at each of its bytes twice more for
        line ends, which are right already."""
        end = b".\r\n" if content.endswith(b"\r\n") else b"\r\n.\r\n"
        return await self._answer(client, content + end, LAST_ANSWER * self._smtp.timeout)

    async def _command(self, client: aiosmtplib.SMTP, line: str) -> aiosmtplib.SMTPResponse:
        """`client.mail` and `client.rcpt` would parse the address anew, which is bare already."""
        if not line.isprintable():
            raise ValueError("an address has a control character in it")
        return await self._answer(client, line.encode() + b"\r\n", self._smtp.timeout)

    async def _answer(
        self, client: aiosmtplib.SMTP, data: bytes, seconds: float
    ) -> aiosmtplib.SMTPResponse:
        """Sends this and waits for what the server says to it. The library's own limit of time
        costs more than all the rest of its waiting."""
        protocol = client.protocol
        if protocol is None:
            raise aiosmtplib.SMTPServerDisconnected("the connection is gone")
        loop = asyncio.get_running_loop()
        self._until, self._late = loop.time() + seconds, False
        if self._timer is None:
            self._timer = loop.call_later(self._smtp.timeout, self._look)
        protocol.write(data)
        try:
            return await protocol.read_response()
        except aiosmtplib.SMTPServerDisconnected as error:
            if self._late:
                raise aiosmtplib.SMTPReadTimeoutError("no answer in time") from error
            raise
        finally:
            self._until = None

    def _look(self) -> None:
        """Gives the connection up where its answer is late. One look at a time: as long as answers
        come in time, they move the moment that is looked for and no timer."""
        self._timer = None
        if self._until is None:
            return
        loop = asyncio.get_running_loop()
        left = self._until - loop.time()
        if left > 0:
            self._timer = loop.call_later(min(left, self._smtp.timeout), self._look)
        elif self._client is not None and isinstance(
            transport := self._client.transport, asyncio.WriteTransport
        ):
            self._late = True
            transport.abort()


@cache
def _own_name() -> str:
    """What we greet a server with. To find it out, the system may ask the network."""
    return socket.getfqdn()


async def _greet(client: aiosmtplib.SMTP) -> None:
    if not client.is_ehlo_or_helo_needed:
        return  # done for TLS or the login
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError as error:
        if error.code == GOING:
            raise
        await client.helo()


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
