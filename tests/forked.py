"""Processes that are copies of this one, and so need not read all programs anew."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkProcess
from pathlib import Path

from digest.__main__ import main

FORK = multiprocessing.get_context("fork")


def forked(work: Callable[..., object], *given: object) -> ForkProcess:
    """Does the work in a process of its own. No connection of this one to a database may be open,
    for the copy would end it."""
    process = FORK.Process(target=work, args=given)
    process.start()
    return process


def digest_command(words: list[str], environment: Mapping[str, str], log: Path) -> ForkProcess:
    """`digest WORDS` with these settings, which says what it has to say into the log."""

    def run() -> None:
        os.environ.update(environment)
        sys.argv = ["digest", *words]
        with log.open("w", buffering=1) as sys.stderr:
            main()

    return forked(run)
