"""One run over the outbox: some connections, each taking one message at a time."""

import asyncio
import gc
import random
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import structlog

from digest.app import App
from digest.errors import MailError
from digest.mail import drafts, queue
from digest.mail.compose import Editions
from digest.mail.drafts import Draft, Unwanted
from digest.mail.pace import Pace
from digest.mail.queue import Waiting
from digest.mail.smtp import Connection, Outcome, Unreachable
from digest.mail.writer import Ready, Writer

BATCH = 50  # messages that are read together
LOOK = 1.0  # seconds between looks for mail that overtakes what is left of a batch
RENEW = 30.0  # seconds between renewals of the leases of what is not begun: a quarter of queue.HELD
WAITS = (5, 15, 30, 60, 120)  # minutes after the first refusal for now, the second, …
GIVE_UP = timedelta(hours=20)  # then the next digest is about to come

log = structlog.get_logger()


@contextmanager
def _set_aside(messages: int) -> Iterator[None]:
    """Sets aside all there is while many messages are sent: they leave no garbage that leads to it,
    and to look for some takes as long as forty of them. Not where the caller has done so."""
    if messages <= BATCH or gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


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
        self._lease = secrets.token_hex(8)
        self._editions = Editions()
        self._pace = Pace(app.settings.smtp.per_minute)
        self._drafts: deque[Draft | Unwanted] = deque()
        self._looked = 0.0
        self._renewed = time.monotonic()
        self._busy: set[int] = set()
        self._settled = asyncio.Event()
        self._kept_back: set[int] = set()

    async def all(self) -> None:
        """Sends all that is due. Raises MailError where the server refuses us as a whole, or
        cannot be reached while something is left to send."""
        self._recover()
        with self._app.db.read() as session:
            self._total = queue.due(session, self._app.now(), self._only)
        if not self._total:  # as at most ticks of a service
            return
        workers = [self._work() for _ in range(self._app.settings.smtp.connections)]
        with _set_aside(self._total), self._app.db.steps() as self._rows:
            ends = await asyncio.gather(*workers, return_exceptions=True)
            self._give_back([draft.message for draft in self._drafts])
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

    async def _work(self) -> None:
        """One connection's: takes message after message, as long as any is left or on its way."""
        connection = Connection(self._app.settings.smtp)
        try:
            while not self._ends():
                if (draft := self._next()) is not None:
                    await self._settle(connection, draft)
                elif self._busy or self._drafts:
                    await self._rest()
                else:
                    return
        except Unreachable:
            raise  # the other connections may go on
        except BaseException:
            self._failed = True
            raise
        finally:
            await connection.close()

    def _ends(self) -> bool:
        return self._failed or self._stop()

    def _next(self) -> Draft | Unwanted | None:
        """The next message; None where there is none, or where it is not yet its turn."""
        now = time.monotonic()
        if now - self._renewed >= RENEW:
            self._renew()
        if not self._drafts:
            self._drafts.extend(self._read(self._claim()))
            self._looked = now
        elif now - self._looked >= LOOK:
            urgent = self._claim(before=self._drafts[0].message.priority)
            self._drafts.extendleft(reversed(self._read(urgent)))
            self._looked = now
        if not self._drafts or self._pace.wait(now):
            return None
        self._pace.take(now)
        return self._drafts.popleft()

    def _claim(self, before: int | None = None) -> list[Waiting]:
        """What this run has under way is none of it, though its lease may have ended meanwhile."""
        now = self._app.now()
        with self._app.db.connect() as connection:
            found = queue.lease(connection, now, self._lease, BATCH, only=self._only, before=before)
        return [message for message in found if message.id not in self._busy]

    def _renew(self) -> None:
        held = [*self._busy, *(draft.message.id for draft in self._drafts)]
        with self._app.db.connect() as connection:
            queue.renew(connection, held, self._lease, self._app.now())
        self._renewed = time.monotonic()

    def _read(self, messages: list[Waiting]) -> list[Draft | Unwanted]:
        if not messages:
            return []
        with self._app.db.read() as session:
            return drafts.read(session, messages, self._editions, self._app.tokens)

    async def _rest(self) -> None:
        """Until a message is settled, its turn has come, or it is time for another look."""
        self._settled.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(min(LOOK, self._pace.wait(time.monotonic()) or LOOK)):
                await self._settled.wait()

    async def _settle(self, connection: Connection, draft: Draft | Unwanted) -> None:
        self._busy.add(draft.message.id)
        try:
            if isinstance(draft, Unwanted):
                self._record(draft.message, draft.status, response=draft.why)
            elif (ready := self._make(draft)) is None:
                self._defer(draft.message, "this mail could not be made: the log says why")
            else:
                self._learn(draft.message, await self._hand_over(connection, draft, ready))
        finally:
            self._busy.discard(draft.message.id)
            self._settled.set()
        if self._progress is not None:
            done = sum(self.counts[name] for name in ("sent", "failed", "deferred", "cancelled"))
            self._progress(done, max(done, self._total))

    def _make(self, draft: Draft) -> Ready | None:
        try:
            return self._writer.make(draft, self._editions)
        except Exception:  # one mail that cannot be made must not hold up all others
            log.exception("a mail could not be made", message=draft.message.id)
            return None

    async def _hand_over(self, connection: Connection, draft: Draft, ready: Ready) -> Outcome:
        def before_data() -> bool:
            now = self._app.now()
            return queue.begin(self._rows, draft.message, self._lease, draft.seen, now)

        try:
            return await connection.send(
                ready.return_path, ready.recipient, ready.content, before_data, dotless=True
            )
        except MailError:  # nothing was handed over, and the address has no part in it
            self._give_back([draft.message])
            raise

    def _reconsider(self, message: Waiting) -> None:
        """What kept the message back has changed since it was read: who left, or went elsewhere."""
        with self._app.db.read() as session:
            status, holder = queue.standing(session, message)
        if status in ("cancelled", "gone"):
            self.counts["cancelled"] += 1
        elif holder != self._lease:
            log.warning("a message went to another process", message=message.id)
        elif message.id in self._kept_back:
            self._defer(message, "its reader's settings kept changing while it was to be sent")
        else:
            self._kept_back.add(message.id)
            self._drafts.extendleft(self._read([message]))

    def _give_back(self, messages: list[Waiting]) -> None:
        if messages:
            with self._app.db.connect() as connection:
                queue.release(connection, messages, self._lease)

    def _learn(self, message: Waiting, outcome: Outcome) -> None:
        if outcome.slow:
            self._pace.refused(time.monotonic())
        match outcome.kind:
            case "withheld":
                self._reconsider(message)
            case "accepted":
                self._pace.accepted()
                self._record(message, "sent", response=outcome.reply, sent_at=self._app.now())
            case "permanent":
                self._record(message, "failed", response=outcome.reply)
                self._refused(message, outcome.reply)
            case "unanswered":
                self.counts["in_doubt"] += 1
                if message.in_doubt:
                    self._record(message, "failed", response=queue.UNANSWERED_TWICE)
                else:
                    self._defer(message, outcome.reply, in_doubt=True)
            case "temporary" | "lost":
                self._defer(message, outcome.reply)

    def _defer(self, message: Waiting, reply: str, *, in_doubt: bool = False) -> None:
        minutes = WAITS[min(message.tries, len(WAITS) - 1)] * random.uniform(1, 1.2)  # noqa: S311
        due_at = self._app.now() + timedelta(minutes=minutes)
        doubt = message.in_doubt or in_doubt
        if due_at > message.created_at + GIVE_UP:
            self._record(
                message, "failed", response=f"given up after a day: {reply}", in_doubt=doubt
            )
            self._refused(message, reply)
        else:
            self._record(message, "deferred", response=reply, due_at=due_at, in_doubt=doubt)

    def _refused(self, message: Waiting, reply: str) -> None:
        from digest.mail import bounces  # noqa: PLC0415 (it can also read mailboxes: 2 MB)

        bounces.refused(self._app, message.subscriber_id, message.id, reply)

    def _record(self, message: Waiting, status: str, **values: object) -> None:
        self.counts[status] += 1
        values |= {"status": status, "tries": message.tries + 1}
        doubt = message.in_doubt or values.get("in_doubt", False)
        if status in ("failed", "cancelled") and message.digest_id and not doubt:
            ours = self._unseen(message, message.digest_id, values)
        else:
            ours = queue.settle(self._rows, message, self._lease, **values)
        if not ours:
            log.warning("a message was taken over by another process", message=message.id)

    def _unseen(self, message: Waiting, digest_id: int, values: dict[str, object]) -> bool:
        """Ends a digest that its reader never got."""
        with self._app.db.connect() as connection:
            ours = queue.settle(connection, message, self._lease, **values)
            if ours:
                queue.bring_back(connection, digest_id)
        return ours
