"""What every door opens once and passes on: settings, database, tokens, templates, clock."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import jinja2

from digest import categories
from digest import db as database
from digest.errors import SettingsError
from digest.settings import Settings
from digest.tokens import Tokens


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class App:
    """`well` is when each job went well last in this process."""

    settings: Settings
    db: database.Db
    tokens: Tokens
    templates: jinja2.Environment
    now: Callable[[], datetime] = utc_now
    well: dict[str, datetime] = field(default_factory=dict)


@contextmanager
def open_app(
    settings: Settings, now: Callable[[], datetime] = utc_now, *, restoring: bool = False
) -> Iterator[App]:
    """Opens the database, its schema brought up to date, and closes it at the end. One whose
    restore was cut short is opened only to go on with that."""
    db = database.Db(settings.database.url)
    try:
        database.upgrade(db, restoring=restoring)
        yield App(settings, db, Tokens(_secrets(settings)), templates(), now)
    finally:
        db.close()


@cache
def templates() -> jinja2.Environment:
    """The templates of the checkout or of the wheel; HTML is escaped, a missing value fails."""
    here = Path(__file__).parent
    places = (here / "templates", here.parent / "templates")
    folder = next(place for place in places if place.is_dir())
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=jinja2.select_autoescape(["html.j2", "html", "xml.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"category": categories.name, "categories": categories.names}
    return environment


def _secrets(settings: Settings) -> list[str]:
    current = settings.web.secret.get_secret_value()
    if not current:
        current = _kept_secret(settings)
    return [current, *(old.get_secret_value() for old in settings.web.previous_secrets)]


def _kept_secret(settings: Settings) -> str:
    """Without a configured secret, one is made and kept beside the SQLite file."""
    file = database.sqlite_file(settings.database.url)
    if file is None:
        raise SettingsError("web.secret: expected at least 32 characters, as the links are signed")
    path = file.with_name("secret")
    if not path.exists():
        draft = path.with_name(f"secret.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(32) + "\n", encoding="ascii")
        with suppress(FileExistsError):  # another process was faster: its secret is the one
            path.hardlink_to(draft)
        draft.unlink()
    return path.read_text(encoding="ascii").strip()
