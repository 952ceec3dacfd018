"""How the log is written: one line each, of a run or a request, without addresses, tokens or
anything that steers a terminal."""

import re
import secrets
import sys
from typing import Any, Literal

import structlog

RUN = secrets.token_hex(4)  # tells the lines of one process from those of another

_ADDRESS = re.compile(r"[^\s@<>,;:\"'()=]{1,64}@[^\s@<>,;:\"'()=]+\.?\w")
_TOKEN = re.compile(r"\b[0-9a-f]+-[0-9a-f]+-[0-9a-f]+-[0-9a-f]+\.[\w-]{20,}(\.\w+)?")
_MARK = re.compile(r"\b[0-9a-f]+\.[0-9a-f]+\.[0-9a-f]{20}\b")
_CONTROLS = {n: f"\\x{n:02x}" for n in (*range(9), 11, 12, *range(14, 32), *range(127, 160))}
_CONTROLS |= {ord("\r"): "\\r", 0x2028: "\\u2028", 0x2029: "\\u2029"}
_BREAKS = {ord("\n"): "\\n", ord("\t"): "\\t"}


def configure(*, verbose: bool, form: Literal["plain", "json"] = "plain") -> None:
    """The log goes to stderr, `verbose` from the level info on; on a terminal it is for people."""
    person = sys.stderr.isatty()
    last: Any = structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"])
    if form == "json":
        last = structlog.processors.JSONRenderer(ensure_ascii=False)
    if person:
        last = structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=not person),
            structlog.processors.format_exc_info,
            _with_run,
            harmless,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(20 if verbose else 30),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _with_run(
    _logger: object, _method: str, line: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    line.setdefault("run", RUN)
    return line


def harmless(
    _logger: object, _method: str, line: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Takes out what no line may hold, should an error of a library bring it."""
    return {name: _harmless(value, name == "exception") for name, value in line.items()}


def _harmless(value: Any, lines: bool = False) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_harmless(each) for each in value]
    if isinstance(value, dict):
        return {_harmless(name): _harmless(each) for name, each in value.items()}
    text = nameless(str(value))
    return text.translate(_CONTROLS if lines else _CONTROLS | _BREAKS)


def nameless(text: str) -> str:
    """The text without addresses and tokens."""
    for pattern, shown in ((_TOKEN, "[token]"), (_MARK, "[mark]"), (_ADDRESS, "[address]")):
        text = pattern.sub(shown, text)
    return text
