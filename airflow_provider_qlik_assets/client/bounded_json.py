"""Parse JSON that somebody else wrote, so that it can neither exhaust the stack nor take long."""

from __future__ import annotations

import json
from itertools import accumulate
from typing import Any

_BRACKETS = b"[{]}"
_OTHERS = bytes(set(range(256)) - set(_BRACKETS))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


class TooDeepError(ValueError):
    """The arrays and objects are nested too deep."""


def parse_json(content: bytes, *, deepest: int = 100, **options: Any) -> Any:
    """Return the value of a JSON text in UTF-8.

    :param content: the text; its size is the caller's to bound.
    :param deepest: how deep arrays and objects may be nested.
    :param options: passed on to :func:`json.loads`.
    :raises TooDeepError: if they are nested deeper; found out before anything is parsed, in linear time.
    :raises ValueError: if it is not JSON.
    """
    if _depth(content) > deepest:
        raise TooDeepError(f"it is nested more than {deepest} deep")
    return json.loads(content.decode("utf-8-sig"), **options)


def _depth(content: bytes) -> int:
    """Return how deep arrays and objects are nested; brackets inside of texts do not count."""
    without_escapes = content.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside_of_texts = b"".join(without_escapes.split(b'"')[::2])
    return max(accumulate(map(_STEPS.__getitem__, outside_of_texts.translate(None, _OTHERS))), default=0)
