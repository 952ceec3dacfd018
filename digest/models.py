"""Every table, in the order of the day: what comes in, who reads, what goes out.

In one file on purpose, long as it is: they refer to each other, and the schema is read as a whole.
"""

import json
import zlib
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Dialect,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
SQLModel.metadata.naming_convention = NAMING
# What pydantic would make to check a row is made when one is checked, which none is: 60 ms.
SQLModel.model_config["defer_build"] = True
metadata: MetaData = SQLModel.metadata


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC moment, kept as whole milliseconds since 1970: small, and sortable anywhere."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone cannot be stored")
        return round(value.timestamp() * 1000)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else datetime.fromtimestamp(value / 1000, UTC)


class Packed(TypeDecorator[list[str]]):
    """A list of texts that share most of their words: in a quarter of the room."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: list[str] | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002
        return zlib.compress(json.dumps(value, ensure_ascii=False).encode()) if value else None

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> list[str]:  # noqa: ARG002
        return json.loads(zlib.decompress(value)) if value else []


def _moment(*, nullable: bool = False, index: bool = False) -> Any:
    if nullable:
        return Field(default=None, sa_type=UtcTime, nullable=True, index=index)
    return Field(sa_type=UtcTime, nullable=False, index=index)


def _json(default: Any) -> Any:
    return Field(default_factory=default, sa_type=JSON, nullable=False)


def _partial(name: str, column: str, where: str) -> Index:
    """An index of the rows alone for which `where` holds. Its migration tells the database so: told
    here to SQLAlchemy, that loads the dialect of every database, and 2 MB with it."""
    return Index(name, column, info={"where": where})


# What comes in


class Feed(SQLModel, table=True):
    """A source that is asked again and again; `outcome` tells of the last fetch in a sentence,
    `trouble` is the kind of failure (as `FeedError` has it), empty where it has none."""

    __tablename__ = "feed"
    id: int | None = Field(default=None, primary_key=True)
    url: str = Field(unique=True)
    kind: str
    title: str = ""
    etag: str = ""
    last_modified: str = ""
    next_fetch_at: datetime = _moment(index=True)
    leased_until: datetime | None = _moment(nullable=True)
    failures: int = 0
    checked_at: datetime | None = _moment(nullable=True)
    changed_at: datetime | None = _moment(nullable=True)
    outcome: str = ""
    trouble: str = ""
    added_at: datetime = _moment()


class Batch(SQLModel, table=True):
    """What a feed announced in one category on one listing day.

    `verdict` is one of digest.feeds.judge's; `counts` is by kind; `highest` is the highest id
    among the new ones; `mark` is equal for equal contents. `missing` counts the papers that are
    known to lack, `looks` how often it was looked at while suspect, `fill_at` when another way is
    to be tried. `route` says how it came in the end: feed, list, oai, api.
    """

    __tablename__ = "batch"
    id: int | None = Field(default=None, primary_key=True)
    feed_id: int = Field(foreign_key="feed.id", ondelete="CASCADE")
    category: str
    day: date = Field(index=True)
    verdict: str = Field(index=True)
    counts: dict[str, int] = _json(dict)
    highest: str = ""
    mark: str = ""
    missing: int = 0
    looks: int = 1
    fill_at: datetime | None = _moment(nullable=True, index=True)
    route: str = "feed"
    url: str = ""
    fetched_at: datetime = _moment()
    __table_args__ = (UniqueConstraint("feed_id", "category", "day"),)


class RawBatch(SQLModel, table=True):
    """A feed's body as it came, compressed, kept for a while to be read again after a fix."""

    __tablename__ = "raw_batch"
    feed_id: int = Field(foreign_key="feed.id", primary_key=True, ondelete="CASCADE")
    mark: str = Field(primary_key=True)
    day: date
    url: str
    content_type: str = ""
    fetched_at: datetime = _moment(index=True)
    body: bytes


class HostTurn(SQLModel, table=True):
    """Whose turn it is to ask a host, and from when on; shared by all processes."""

    __tablename__ = "host_turn"
    host: str = Field(primary_key=True)
    holder: str = ""
    leased_until: datetime | None = _moment(nullable=True)
    ready_at: datetime = _moment()


class Paper(SQLModel, table=True):
    """The work, whatever its version. `key` is the id that users meet, `id` ours.

    `announced_day` is the listing day of the first announcement that was no replacement,
    `announced_at` when we recorded it; both empty while only replacements were seen.
    `version` is 0 where no feed has named it yet and all that is known is a reader's word.
    `fingerprint` is that of title and first author, where they tell one work from another.
    `merged_into` is set where this turned out to be another row's work: the row is then listed
    nowhere, and stays for the mails that showed it.
    """

    __tablename__ = "paper"
    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(unique=True)
    version: int = 1
    title: str
    abstract: str = ""
    authors: list[str] = _json(list)
    categories: list[str] = _json(list)
    url: str
    pdf_url: str | None = None
    doi: str | None = None
    journal: str | None = None
    licence: str | None = None
    announced_day: date | None = Field(default=None, index=True)
    announced_at: datetime | None = _moment(nullable=True)
    updated_at: datetime = _moment()
    fingerprint: str | None = Field(default=None, index=True)
    merged_into: int | None = Field(default=None, foreign_key="paper.id", index=True)


class PaperAlias(SQLModel, table=True):
    """Another id of the same work: a DOI, a version-free link, a feed's own id."""

    __tablename__ = "paper_alias"
    alias: str = Field(primary_key=True)
    paper_id: int = Field(foreign_key="paper.id", index=True)


class Announcement(SQLModel, table=True):
    """A paper in a day's listing. `derived`: its day and kind were worked out from dates of the
    paper, since it came another way than by that day's listing; a stated one takes its place."""

    __tablename__ = "announcement"
    paper_id: int = Field(foreign_key="paper.id", primary_key=True)
    day: date = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    feed_id: int | None = Field(
        default=None, sa_column=Column(ForeignKey("feed.id", ondelete="SET NULL"))
    )
    recorded_at: datetime = _moment()
    derived: bool = False
    __table_args__ = (Index("ix_announcement_day", "day"),)


class Upvotes(SQLModel, table=True):
    """A source's count of votes for a paper, as it stood on a day."""

    __tablename__ = "upvotes"
    paper_id: int = Field(foreign_key="paper.id", primary_key=True)
    source: str = Field(primary_key=True)
    day: date = Field(primary_key=True)
    count: int
    __table_args__ = (Index("ix_upvotes_day", "day"),)


class PaperNews(SQLModel, table=True):
    """What became of a paper that a reader likes, in a line. `kind` is version or published;
    `version` is 0 for the latter, which is told once."""

    __tablename__ = "paper_news"
    id: int | None = Field(default=None, primary_key=True)
    paper_id: int = Field(foreign_key="paper.id")
    kind: str
    version: int = 0
    line: str
    recorded_at: datetime = _moment(index=True)
    __table_args__ = (UniqueConstraint("paper_id", "kind", "version"),)


class Summary(SQLModel, table=True):
    """A paper in a sentence that an endpoint of the operator's choice wrote; empty where there is
    none yet. `failed`: the last of so many `tries` brought no sentence."""

    __tablename__ = "summary"
    paper_id: int = Field(foreign_key="paper.id", primary_key=True, ondelete="CASCADE")
    sentence: str = ""
    failed: bool = False
    tries: int = 0
    asked_at: datetime = _moment(index=True)


# Who reads


class Subscriber(SQLModel, table=True):
    """A reader. `status` is pending, active, paused or removed.

    `email_key` is the address in the form in which two spellings of it are equal.
    `topics` is [[text, weight], …], `categories` [[code, weight], …]. `send_at` is HH:MM in
    `timezone`. `revision` is raised with every change of profile or vote, so that a ranker trained
    at an older one is known to be stale. `link_epoch` is raised to revoke the links mailed so far,
    `view_epoch` to revoke those by which digests and the feed are read; leaving heeds neither.
    `seeds` are the papers liked as typed at the sign-up, until the address is confirmed.
    """

    __tablename__ = "subscriber"
    id: int | None = Field(default=None, primary_key=True)
    email: str
    email_key: str = Field(unique=True)
    name: str = ""
    status: str = "pending"
    topics: list[Any] = _json(list)
    categories: list[Any] = _json(list)
    authors: list[str] = _json(list)
    muted: list[str] = _json(list)
    min_score: float | None = None
    per_digest: int = 10
    frequency: str = "daily"
    send_at: str = "07:00"
    timezone: str = "UTC"
    paused_until: date | None = None
    next_digest_at: datetime | None = _moment(nullable=True, index=True)
    revision: int = 0
    created_at: datetime = _moment()
    confirmed_at: datetime | None = _moment(nullable=True)
    link_epoch: int = 0
    view_epoch: int = 0
    seeds: str = ""
    # An id is never given twice: the links of someone erased must not open a newcomer's pages.
    __table_args__ = (
        Index("ix_subscriber_status_next_digest_at", "status", "next_digest_at"),
        {"sqlite_autoincrement": True},
    )


class Standing(SQLModel, table=True):
    """When a subscription changed its status, so that a day that is gone can still be explained."""

    __tablename__ = "standing"
    subscriber_id: int = Field(foreign_key="subscriber.id", primary_key=True, ondelete="CASCADE")
    since: datetime = Field(sa_type=UtcTime, primary_key=True)
    status: str


class Feedback(SQLModel, table=True):
    """One reader's last word on one paper: 1 up, -1 down, 0 taken back. `source` says through
    which door it came: mail, web, cli, seed."""

    __tablename__ = "feedback"
    subscriber_id: int = Field(foreign_key="subscriber.id", primary_key=True, ondelete="CASCADE")
    paper_id: int = Field(foreign_key="paper.id", primary_key=True, index=True)
    vote: int
    source: str
    voted_at: datetime = _moment(index=True)


class Suppression(SQLModel, table=True):
    """An address that gets no mail: `address_hash` is keyed, `email` is empty after an erasure.

    `reason` is bounce, complaint, operator or erased; `detail` is what the server said.
    """

    __tablename__ = "suppression"
    address_hash: str = Field(primary_key=True)
    reason: str
    detail: str = ""
    email: str | None = None
    created_at: datetime = _moment()


# What is learned


class StoredSpace(SQLModel, table=True):
    """A fitted feature space; the newest one is in use, or what a process has fitted beyond it, and
    older ones go. `papers` are the ids of those that it was fitted to, in the order of its rows,
    and then the milliseconds at which each was changed last: eight bytes each. `corpus` are their
    words, for the next fit; earlier releases had none. `newest` is the highest id that a paper had
    by then."""

    __tablename__ = "feature_space"
    version: str = Field(primary_key=True)
    documents: int
    newest: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    fitted_at: datetime = _moment()
    papers: bytes | None = None
    data: bytes
    corpus: bytes | None = None


class StoredRanker(SQLModel, table=True):
    """A subscriber's trained model, good while the subscriber's `revision` is still this one and
    the method of training is still `method`."""

    __tablename__ = "ranker"
    subscriber_id: int = Field(foreign_key="subscriber.id", primary_key=True, ondelete="CASCADE")
    revision: int
    method: str
    trained_at: datetime = _moment()
    data: bytes


# What goes out


class Edition(SQLModel, table=True):
    """What all digests of a listing day share, frozen with the first of them."""

    __tablename__ = "edition"
    day: date = Field(primary_key=True)
    created_at: datetime = _moment()
    trending: list[Any] = _json(list)


class EditionPaper(SQLModel, table=True):
    """A paper as the digests of a day show it, frozen when it is first picked."""

    __tablename__ = "edition_paper"
    day: date = Field(foreign_key="edition.day", primary_key=True)
    paper_id: int = Field(foreign_key="paper.id", primary_key=True, index=True)
    card: dict[str, Any] = _json(dict)
    __table_args__ = ({"sqlite_with_rowid": False},)


class Digest(SQLModel, table=True):
    """One subscriber's digest of one listing day; (subscriber, day) is what makes it one.

    `news` are lines about papers the reader liked, as digest.mail.contents.Note has them;
    `also` are those of followed authors' papers that there was no room for. `welcome`: it came with
    the reader's confirmation, and says so at its top. `reasons` are the sentences that say why each
    of its picks is there, by their positions.
    """

    __tablename__ = "digest"
    id: int | None = Field(default=None, primary_key=True)
    subscriber_id: int = Field(foreign_key="subscriber.id", ondelete="CASCADE")
    day: date
    since: date
    candidates: int
    news: list[Any] = _json(list)
    also: list[Any] = _json(list)
    welcome: bool = False
    reasons: list[str] = Field(default_factory=list, sa_type=Packed, nullable=True)
    created_at: datetime = _moment(index=True)
    __table_args__ = (UniqueConstraint("subscriber_id", "day"), {"sqlite_autoincrement": True})


class Pick(SQLModel, table=True):
    """A paper in a digest; also the record that keeps a paper from being sent twice.

    `topic` is the reader's topic that spoke loudest for it, `sentence` the index of the abstract's
    marked one, `similar` the ids of the near-copies that this paper stands for. `shown_as` is the
    row whose frozen card the mail shows, where it was merged into this paper later. `team` says
    which of two rankings put it there, where two are compared.
    """

    __tablename__ = "pick"
    digest_id: int = Field(foreign_key="digest.id", primary_key=True, ondelete="CASCADE")
    position: int = Field(primary_key=True)
    subscriber_id: int = Field(foreign_key="subscriber.id", ondelete="CASCADE")
    paper_id: int = Field(foreign_key="paper.id", index=True)
    shown_as: int | None = Field(default=None, foreign_key="paper.id")
    score: float
    exploring: bool = False
    sentence: int | None = None
    similar: list[int] | None = Field(default=None, sa_type=JSON(none_as_null=True))
    topic: str | None = None
    team: str | None = None
    __table_args__ = (
        UniqueConstraint("subscriber_id", "paper_id"),
        _partial("ix_pick_shown_as", "shown_as", "shown_as IS NOT NULL"),
        {"sqlite_with_rowid": False},
    )


class MailVote(SQLModel, table=True):
    """A vote that came by a mail's link in the last moments: many at once tell a scanner from a
    person. `before…` is the reader's word until then, None where there was none; `counted` is false
    where the vote was not taken, or was taken back."""

    __tablename__ = "mail_vote"
    id: int | None = Field(default=None, primary_key=True)
    digest_id: int = Field(foreign_key="digest.id", index=True, ondelete="CASCADE")
    paper_id: int = Field(foreign_key="paper.id", index=True)
    vote: int
    cast_at: datetime = _moment(index=True)
    counted: bool = True
    before: int | None = None
    before_source: str = ""
    before_at: datetime | None = _moment(nullable=True)


class ToldNews(SQLModel, table=True):
    """The record that keeps a reader from being told a piece of news twice; `digest_id` is the
    digest that told it, None where that is not known or it was known without one."""

    __tablename__ = "told_news"
    subscriber_id: int = Field(foreign_key="subscriber.id", primary_key=True, ondelete="CASCADE")
    news_id: int = Field(foreign_key="paper_news.id", primary_key=True, ondelete="CASCADE")
    digest_id: int | None = None
    __table_args__ = ({"sqlite_with_rowid": False},)


class PassedOver(SQLModel, table=True):
    """Why a reader who was due got no mail, on a calendar day of the reader's own; `outcome` is
    one of digest.outcomes'."""

    __tablename__ = "passed_over"
    subscriber_id: int = Field(foreign_key="subscriber.id", primary_key=True, ondelete="CASCADE")
    day: date = Field(primary_key=True)
    outcome: str
    detail: str
    __table_args__ = (Index("ix_passed_over_day", "day"), {"sqlite_with_rowid": False})


class OutboxMessage(SQLModel, table=True):
    """A mail on its way. `status` is queued, sending, sent, deferred, failed, cancelled.

    `kind` is one of digest.mail.outbox's. `sending` is committed right before DATA: a row found so
    after a crash is in doubt, is sent once more under the same Message-ID, and `in_doubt` stays as
    the mark of it. The address is read from the subscriber right before sending; `recipient` is set
    where it is another: the one that a reader wants to move to, or has left.
    """

    __tablename__ = "outbox"
    id: int | None = Field(default=None, primary_key=True)
    kind: str
    subscriber_id: int = Field(foreign_key="subscriber.id", ondelete="CASCADE")
    digest_id: int | None = Field(
        default=None, foreign_key="digest.id", unique=True, ondelete="CASCADE"
    )
    status: str = "queued"
    priority: int = 5
    due_at: datetime = _moment()
    leased_by: str | None = None
    leased_until: datetime | None = _moment(nullable=True)
    tries: int = 0
    in_doubt: bool = False
    created_at: datetime = _moment()
    sent_at: datetime | None = _moment(nullable=True)
    response: str = ""
    recipient: str | None = None
    __table_args__ = (
        Index("ix_outbox_subscriber_id", "subscriber_id"),
        Index("ix_outbox_status_due_at", "status", "priority", "due_at"),
        _partial("ix_outbox_recipient", "recipient", "recipient IS NOT NULL"),
        _partial("ix_outbox_letters", "created_at", "digest_id IS NULL"),
        {"sqlite_autoincrement": True},
    )


class Door(SQLModel, table=True):
    """An address, beside the mailbox, to which the operator lets a reader's digests go. It is a
    secret: most such addresses let whoever knows them write there."""

    __tablename__ = "door"
    id: int | None = Field(default=None, primary_key=True)
    subscriber_id: int = Field(foreign_key="subscriber.id", ondelete="CASCADE")
    url: str
    added_at: datetime = _moment()
    __table_args__ = (UniqueConstraint("subscriber_id", "url"),)


class Handover(SQLModel, table=True):
    """A digest at such a door: `status` is waiting, done, failed. While one is under way, `due_at`
    is when it may be tried again should the process die."""

    __tablename__ = "handover"
    digest_id: int = Field(foreign_key="digest.id", primary_key=True, ondelete="CASCADE")
    door_id: int = Field(foreign_key="door.id", primary_key=True, index=True, ondelete="CASCADE")
    status: str = "waiting"
    due_at: datetime = _moment()
    tries: int = 0
    response: str = ""
    done_at: datetime | None = _moment(nullable=True)
    __table_args__ = (Index("ix_handover_status_due_at", "status", "due_at"),)


class Hold(SQLModel, table=True):
    """The one row, of id 1, that holds delivery after a restore until `resumed_from` is set: from
    then on digests cover that day and later ones, since what was sent before is not known."""

    id: int | None = Field(default=None, primary_key=True)
    since: datetime = _moment()
    reason: str
    resumed_from: date | None = None


class Alert(SQLModel, table=True):
    """A trouble that lasts; `told` once the operator has the mail of it. It goes when over."""

    __tablename__ = "alert"
    name: str = Field(primary_key=True)
    sentence: str
    since: datetime = _moment()
    told: bool = False


class JobFailure(SQLModel, table=True):
    """A job that fails: so many times in a row since then, with `error` the last time; `well_at` is
    when it went well last, as far as that is known. It goes when the job is well again."""

    __tablename__ = "job_failure"
    job: str = Field(primary_key=True)
    place: str = Field(default="", primary_key=True)
    since: datetime = _moment()
    failures: int = 0
    error: str = ""
    failed_at: datetime = _moment()
    well_at: datetime | None = _moment(nullable=True)


class Bounce(SQLModel, table=True):
    """What came back of a mail: `kind` is hard, soft, policy (its sender is refused) or complaint.

    A mail comes back once in each way, however often that is reported. What is `settled` counts no
    more, since the operator let mail go to the address again.
    """

    __tablename__ = "bounce"
    message_id: int = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    subscriber_id: int = Field(foreign_key="subscriber.id", index=True, ondelete="CASCADE")
    status: str = ""
    detail: str = ""
    settled: bool = False
    at: datetime = _moment(index=True)
