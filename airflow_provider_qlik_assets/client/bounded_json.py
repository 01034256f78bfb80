"""Parse JSON that somebody else wrote, so that it can neither exhaust stack or memory nor take long."""

from __future__ import annotations

import json
from itertools import accumulate
from typing import Any

# Of a page of 100 data assets, 2,500 each; of a file, ten thousand entries with a dozen fields.
MOST_VALUES = 250_000
_BRACKETS = b"[{]}"
_SEPARATORS = b",:"
_OTHERS = bytes(set(range(256)) - set(_BRACKETS) - set(_SEPARATORS))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


class TooLargeError(ValueError):
    """The arrays and objects are nested too deep, or hold too many values."""


def parse_json(content: bytes, *, deepest: int = 100, **options: Any) -> Any:
    """Return the value of a JSON text in UTF-8.

    :param content: the text; its size is the caller's to bound.
    :param deepest: how deep arrays and objects may be nested.
    :param options: passed on to :func:`json.loads`.
    :raises TooLargeError: if they are nested deeper, or there are more than 250,000 values, names included;
        found out before anything is parsed, in linear time.
    :raises ValueError: if it is not JSON.
    """
    without_escapes = content.replace(b"\\\\", b"").replace(b'\\"', b"")
    quotes = without_escapes.count(b'"')
    marks = b"" if quotes > 2 * MOST_VALUES else _marks(without_escapes)
    if quotes > 2 * MOST_VALUES or 1 + sum(marks.count(sign) for sign in b",:[{") > MOST_VALUES:
        raise TooLargeError(f"it holds more than {MOST_VALUES:,} values")
    steps = map(_STEPS.__getitem__, marks.translate(None, _SEPARATORS))
    if max(accumulate(steps), default=0) > deepest:
        raise TooLargeError(f"it is nested more than {deepest} deep")
    return json.loads(content.decode("utf-8-sig"), **options)


def _marks(without_escapes: bytes) -> bytes:
    """Return what separates and encloses values, without what is inside of texts."""
    outside_of_texts = b"".join(without_escapes.split(b'"')[::2])
    return outside_of_texts.translate(None, _OTHERS)
