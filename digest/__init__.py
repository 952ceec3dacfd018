"""A personalised digest of new papers, by mail every morning."""

import sys

__version__ = "0.1.0"


def _structlog_without_rich() -> None:
    """For tracebacks on a terminal structlog loads rich, wherever that is installed: 4 MB and a
    seventh of the time to start, in processes that have no terminal, too. Who wants rich itself
    gets it."""
    if "rich" in sys.modules or sys.stderr.isatty():
        return
    sys.modules["rich"] = None  # type: ignore[assignment] # what the import system takes as a no
    try:
        import structlog  # noqa: F401, PLC0415
    finally:
        del sys.modules["rich"]


_structlog_without_rich()
