"""One JSON object a line on standard error: `at`, `level`, `event`, and what belongs to it. No secret ever goes in.

uvicorn's own lines come in the same form. JSON escapes control characters, so nobody can forge a line (ASVS 16.4.1).
A line that can't be written, because the log's disk is full or its reader is gone, is lost; whoever logs goes on.
"""

import logging
import sys
from contextlib import suppress
from typing import TextIO, cast

import structlog


class _Out:
    """Standard error, which never fails."""

    def write(self, text: str) -> None:
        with suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()


_out = _Out()


def say(line: str) -> None:
    """A line for whoever started this process."""
    _out.write(f"{line}\n")
    _out.flush()


def configure(level: str) -> None:
    """Set up logging for this process."""
    number = logging.getLevelNamesMapping()[level.upper()]
    steps: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,  # the trace id, where there is one
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
    ]
    render = structlog.processors.JSONRenderer(ensure_ascii=True)
    structlog.configure(
        processors=[*steps, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _out)),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=steps, processor=render))
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)
