"""What a tool that records the variables of all frames can learn from an error."""

from __future__ import annotations

import base64
import json
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

_TESTS = str(Path(__file__).parent)


def revealed_by(error: BaseException) -> str:
    """Return an error with all variables of its frames, and all errors that it leads to, even hidden ones.

    Only the frames of the tests, above the first one of the package, are left out.
    """
    return "\n".join(
        text
        for each in _all_of(error)
        for text in (*_formatted(each), repr(each), repr(each.args), repr(vars(each)))
    )


def secrets_in(text: str, *secrets: str) -> list[str]:
    """Return the secrets that a text holds as they are, in a URL, in JSON, in a Python text or in base64."""
    return [secret for secret in secrets if any(form in text for form in _forms(secret))]


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield json.dumps(secret)[1:-1]
    yield repr(secret)[1:-1]
    yield repr(secret.encode())[2:-1]
    yield base64.b64encode(secret.encode()).decode()


def _formatted(error: BaseException) -> Iterable[str]:
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_TESTS):
        frames = frames.tb_next
    return traceback.TracebackException(type(error), error, frames, capture_locals=True).format()


def _all_of(error: BaseException) -> Iterator[BaseException]:
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        each = pending.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        pending += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
