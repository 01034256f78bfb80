"""The secrets that this process uses, so that no message repeats them.

An answer may quote the request: a gateway that rejects it may show its headers or its body. All untrusted
text passes through :func:`hide_secrets` before it is shortened and put into an error or a log line.
"""

from __future__ import annotations

import functools
import json
import re
import threading
from html.entities import html5
from urllib.parse import quote, quote_plus

# Only the most recent ones are kept, because a triggerer gets new access tokens as long as it runs.
_MOST_SECRETS = 256
# A shorter one would hide unrelated text, and Qlik Cloud issues none that short.
_SHORTEST_SECRET = 8
LONGEST_SECRET = 16_384
"""A longer one fits into no header."""
_HIDDEN = "***"
_ESCAPABLE = re.compile(r"[^A-Za-z0-9._~-]")
# A longer pattern takes a second to prepare, and no secret of Qlik Cloud is that long.
_MOST_ESCAPABLE = 1000

_lock = threading.Lock()
# Replaced as a whole, so that readers need no lock.
_patterns: dict[str, tuple[str, re.Pattern[str]]] = {}


class HiddenText(str):
    """A secret whose ``repr`` does not show it, wherever it is passed while a request is in progress."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{_HIDDEN}'"


def remember_secret(secret: str) -> None:
    """Hide a secret in everything that is shown from now on.

    :param secret: as it is sent.
    """
    global _patterns  # noqa: PLW0603
    if len(secret) < _SHORTEST_SECRET or secret == next(reversed(_patterns), None):
        return
    with _lock:
        patterns = dict(_patterns)
        # Move it to the end: the least recently used one is forgotten first.
        patterns[secret] = patterns.pop(secret) if secret in patterns else _pattern(secret)
        if len(patterns) > _MOST_SECRETS:
            del patterns[next(iter(patterns))]
        _patterns = patterns


def hide_secrets(text: str) -> str:
    """Return a text with ``***`` in place of every secret, however it is escaped, ignoring case.

    :param text: the whole text, because a truncated secret would not be found.
    """
    lowered = text.lower()
    for plain, pattern in _patterns.values():
        if plain in lowered:  # faster than the pattern, which hardly ever matches
            text = pattern.sub(_HIDDEN, text)
    return text


def _pattern(secret: str) -> tuple[str, re.Pattern[str]]:
    """Return the longest part of a secret that is never escaped, and a pattern for all of it."""
    plain = max(re.split(r"[^a-z0-9]+", secret.lower()), key=len)
    if len(_ESCAPABLE.findall(secret)) > _MOST_ESCAPABLE:
        return plain, re.compile(re.escape(secret), re.IGNORECASE)
    written = map(_as_written, re.sub(r"\\+", r"\\", secret))
    # Only at the first backslash of a run, because every later one would be scanned again.
    begin = "" if secret[0].isalnum() else r"(?<!\\)(?<!%5c)" if secret[0] == "\\" else r"(?<!\\)"
    return plain, re.compile(begin + "".join(written), re.IGNORECASE)


@functools.cache
def _as_written(character: str) -> str:
    """Return a pattern for a character in headers, JSON, Python texts, URLs, forms and HTML."""
    if not _ESCAPABLE.match(character):
        return re.escape(character)
    if character == "\\":
        return r"(?:\\(?:u005c)?|%5c|&#92;|&#x5c;|&bsol;)++"
    encodable = character.encode(errors="replace").decode()
    written = (
        character,
        json.dumps(character)[1:-1],
        quote(encodable, safe=""),
        quote_plus(encodable),
        f"u{ord(character):04x}",
        *(f"&{name}" for name, meant in html5.items() if meant == character and name.endswith(";")),
    )
    # Each level of quoting adds backslashes; the pattern is possessive, so that many of them take no time.
    forms = dict.fromkeys(re.escape(form.lstrip("\\")) for form in written)
    number = rf"&#0*+(?:{ord(character)}|x0*+{ord(character):x});"
    return rf"\\*+(?:{'|'.join(forms)}|{number})"
