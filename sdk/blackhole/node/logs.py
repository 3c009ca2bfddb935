"""Logs of the agent: one JSON object a line on stderr, secrets removed by name before anything is written."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog

_SECRET = ("key", "secret", "passphrase", "password", "signature", "voucher", "grant", "authorization")
_TRACE = structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=20)
"""Without locals: they would hold whatever a request brought, and keys."""
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def _redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in event:
        if any(word in name.lower() for word in _SECRET):
            event[name] = "…"
    return event


class _Lossy:
    """A stream that drops what it cannot write: a full disk under the log must not fail a request or a proof."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def configure(process: str, level: str = "info", stream: TextIO | None = None) -> structlog.typing.FilteringBoundLogger:
    """Set up logging of this process and return its logger. `process` stands in every line."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _redact,
            structlog.processors.ExceptionRenderer(_TRACE),
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS.get(level, logging.INFO)),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Lossy(stream or sys.stderr))),
        cache_logger_on_first_use=True,
    )
    # The web server reports every malformed request of strangers with a traceback: we answer and count them instead.
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(process=process)
    return logger


Log = structlog.typing.FilteringBoundLogger
"""Type of a logger."""
