"""One run over the outbox: some connections, each taking one message at a time."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import structlog

from digest.app import App
from digest.errors import MailError
from digest.mail import queue
from digest.mail.smtp import Connection, Outcome, Unreachable
from digest.mail.writer import Ready, Unwanted, Writer
from digest.models import OutboxMessage

WAITS = (5, 15, 30, 60, 120)  # minutes after the first refusal for now, the second, …
GIVE_UP = timedelta(hours=20)  # then the next digest is about to come

log = structlog.get_logger()


class Run:
    """`progress` is told of (done, all); `only` is a subscriber's id; once `stop` says so, no
    further message is begun. After `all()`, `counts` says how many messages became sent, failed,
    deferred, cancelled, in_doubt."""

    def __init__(
        self,
        app: App,
        progress: Callable[[int, int], None] | None,
        only: int | None,
        stop: Callable[[], bool],
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._app = app
        self._only = only
        self._progress = progress
        self._writer = Writer(app)
        self._stop = stop
        self._failed = False

    async def all(self) -> None:
        """Sends all that is due. Raises MailError where the server refuses us as a whole, or
        cannot be reached while something is left to send."""
        self._recover()
        with self._app.db.read() as session:
            self._total = queue.due(session, self._app.now(), self._only)
        numbers = range(self._app.settings.smtp.connections)
        ends = await asyncio.gather(*map(self._work, numbers), return_exceptions=True)
        failures = [end for end in ends if isinstance(end, BaseException)]
        fatal = [end for end in failures if not isinstance(end, Unreachable)]
        if fatal:
            raise fatal[0]
        if failures and self._left():
            raise failures[0]

    def _recover(self) -> None:
        """On an SQLite file no other process sends now, so what looks busy was left by the dead."""
        alone = self._app.db.file is not None
        with self._app.db.write() as session:
            again, failed = queue.recover(session, self._app.now(), alone=alone)
        self.counts.update(in_doubt=again + failed, failed=failed)
        if again or failed:
            log.warning("found in doubt after a crash", sent_again=again, given_up=failed)

    def _left(self) -> int:
        with self._app.db.read() as session:
            return queue.due(session, self._app.now(), self._only)

    async def _work(self, number: int) -> None:
        connection = Connection(self._app.settings.smtp)
        try:
            while not self._ends() and (message := self._claim(number)) is not None:
                await self._settle(connection, message)
        except Unreachable:
            raise  # the other connections may go on
        except BaseException:
            self._failed = True
            raise
        finally:
            await connection.close()

    def _ends(self) -> bool:
        return self._failed or self._stop()

    def _claim(self, number: int) -> OutboxMessage | None:
        with self._app.db.write() as session:
            return queue.claim(session, self._app.now(), f"connection {number}", self._only)

    async def _settle(self, connection: Connection, message: OutboxMessage) -> None:
        made = self._make(message)
        if isinstance(made, Unwanted):
            self._record(message, made.status, response=made.why)
        elif made is None:
            self._defer(message, "this mail could not be made: the log says why")
        else:
            outcome = await self._hand_over(connection, message, made)
            self._learn(message, outcome)
        if self._progress is not None:
            done = sum(self.counts[name] for name in ("sent", "failed", "deferred", "cancelled"))
            self._progress(done, max(done, self._total))

    def _make(self, message: OutboxMessage) -> Ready | Unwanted | None:
        with self._app.db.read() as session:
            try:
                return self._writer.make(session, message)
            except Exception:  # one mail that cannot be made must not hold up all others
                log.exception("a mail could not be made", message=message.id)
                return None

    async def _hand_over(
        self, connection: Connection, message: OutboxMessage, ready: Ready
    ) -> Outcome:
        def before_data() -> None:
            self._mark(message, status="sending")

        try:
            return await connection.send(
                self._writer.sender, ready.recipient, ready.content, before_data
            )
        except MailError:  # nothing was handed over, and the address has no part in it
            self._mark(message, leased_by=None, leased_until=None)
            raise

    def _learn(self, message: OutboxMessage, outcome: Outcome) -> None:
        match outcome.kind:
            case "accepted":
                self._record(message, "sent", response=outcome.reply, sent_at=self._app.now())
            case "permanent":
                self._record(message, "failed", response=outcome.reply)
            case "unanswered":
                self.counts["in_doubt"] += 1
                if message.in_doubt:
                    self._record(message, "failed", response=queue.UNANSWERED_TWICE)
                else:
                    self._defer(message, outcome.reply, in_doubt=True)
            case "temporary" | "lost":
                self._defer(message, outcome.reply)

    def _defer(self, message: OutboxMessage, reply: str, *, in_doubt: bool = False) -> None:
        minutes = WAITS[min(message.tries, len(WAITS) - 1)] * random.uniform(1, 1.2)  # noqa: S311
        due_at = self._app.now() + timedelta(minutes=minutes)
        doubt = message.in_doubt or in_doubt
        if due_at > message.created_at + GIVE_UP:
            self._record(
                message, "failed", response=f"given up after a day: {reply}", in_doubt=doubt
            )
        else:
            self._record(message, "deferred", response=reply, due_at=due_at, in_doubt=doubt)

    def _record(self, message: OutboxMessage, status: str, **values: object) -> None:
        self.counts[status] += 1
        self._mark(
            message,
            status=status,
            tries=message.tries + 1,
            leased_by=None,
            leased_until=None,
            **values,
        )

    def _mark(self, message: OutboxMessage, **values: object) -> None:
        with self._app.db.write() as session:
            queue.mark(session, message, **values)
