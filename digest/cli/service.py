"""The commands that stay: the service whole, or its parts as processes of their own."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING

import structlog

from digest.app import App
from digest.db import DRIVER
from digest.errors import DatabaseError, SettingsError

if TYPE_CHECKING:
    from socket import socket

    from starlette.types import ASGIApp

log = structlog.get_logger()


def run(app: App) -> None:
    """Scheduler, delivery and web in one process, until a signal ends it."""
    from digest.web import create

    parts = ("scheduler", "worker")
    with _alone(app, parts):
        doors = _doors(app)
        with _awake(app, parts):
            _serve(app, create(app), doors)


def web(app: App) -> None:
    """The pages alone."""
    from digest.web import create

    _serve(app, create(app), _doors(app))


def scheduler(app: App) -> None:
    """Fetches feeds and prepares digests, or has the workers prepare them, until a signal ends
    it."""
    with _parts(app, ("scheduler",)):
        _wait()


def worker(app: App) -> None:
    """Sends what is in the outbox, and with the engine postgres also prepares digests, until a
    signal ends it."""
    with _parts(app, ("worker",)):
        _wait()


@contextmanager
def _parts(app: App, parts: Sequence[str]) -> Iterator[None]:
    """Runs these parts; on an SQLite file, as the only process that does."""
    with _alone(app, parts), _awake(app, parts):
        yield


@contextmanager
def _alone(app: App, parts: Sequence[str]) -> Iterator[None]:
    with ExitStack() as stack:
        for part in parts:
            if not stack.enter_context(app.db.exclusive(part)):
                raise DatabaseError(
                    f"another process runs the {part} on {app.db.url.database} already:"
                    " stop it first (one `digest run` per database file)"
                )
        yield


@contextmanager
def _awake(app: App, parts: Sequence[str]) -> Iterator[None]:
    wake = _engine(app)
    if "scheduler" in parts:
        _say_without_feeds(app)
    with wake(app, parts):
        log.info("started", parts=list(parts))
        yield
    log.info("stopped", parts=list(parts))


def _engine(app: App) -> Callable[[App, Sequence[str]], AbstractContextManager[None]]:
    if app.settings.engine.kind == "local":
        from digest.engine import local

        return local.running
    try:
        from digest.engine import postgres
    except ImportError as error:
        raise SettingsError(
            f"engine.kind: postgres needs {error.name}, which is not installed: {DRIVER}"
        ) from error
    return postgres.running


def _say_without_feeds(app: App) -> None:
    from digest.feeds.ingest import list_feeds

    if not list_feeds(app):
        log.warning("there is no feed yet, so there will be no mail: `digest feeds add URL`")


def _doors(app: App) -> "list[socket]":
    from digest.web.server import listening

    return listening(app.settings.web.host, app.settings.web.port)


def _serve(app: App, pages: "ASGIApp", doors: "list[socket]") -> None:
    import uvicorn

    from digest.web.server import configured

    web = app.settings.web
    log.info("listening", host=web.host, port=web.port, base_url=web.base_url)
    config = configured(pages, web.host, web.port)
    # The server raises its signal once more when it has ended: by then it must only be heard, for
    # the mails under way are still to be finished.
    _on_signal(lambda: None)
    uvicorn.Server(config).run(sockets=doors)


def _wait() -> None:
    ended = threading.Event()
    _on_signal(ended.set)
    ended.wait()


def _on_signal(act: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: act())
