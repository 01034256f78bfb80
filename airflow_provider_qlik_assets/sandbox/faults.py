"""Faults that a sandbox produces on request."""

import json
import random
import threading
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from airflow_provider_qlik_assets.sandbox.journal import path_matches

Kind = Literal[
    "status",
    "delay",
    "drop",
    "reset",
    "truncate",
    "html",
    "content_type",
    "drip",
    "oversize",
    "redirect",
    "echo",
    "revoke_token",
]


class Fault(BaseModel):
    """What goes wrong, for which requests and how often.

    A fault hits requests that were authenticated and within the limits, so that it never hides a client's
    own mistake. The kinds:

    ======================  =============================================================================
    ``status``              answer ``status``, such as a 3xx without ``Location``, with ``headers`` and
                            ``body`` (default: an error body)
    ``delay``               wait ``seconds``, then answer as usual
    ``drop``, ``reset``     close (FIN) or reset (RST) the connection, no byte of an answer sent
    ``truncate``            promise the whole body, send half of it, close
    ``html``                answer ``status`` with an HTML page
    ``content_type``        the right answer with ``content_type`` as its content type
    ``drip``                the right answer, its head or body (``part``) byte by byte, every ``seconds``
    ``oversize``            answer ``status`` 200 with a JSON string of ``size`` bytes
    ``redirect``            answer ``status`` (default 302) with ``location``
    ``echo``                answer ``status`` (default 400) with an error body that repeats the request's body
    ``revoke_token``        answer 401 and make the bearer token or API key invalid
    ======================  =============================================================================

    :param method: method it is for; ``None``: any.
    :param path: glob or prefix of the path as sent; ``None``: any.
    :param times: requests that are hit; ``None``: all from now on.
    :param skip: requests that match and pass before the first hit.
    :param probability: chance of a hit for each request that matches, from the sandbox's seeded generator.
    :param when: whether the request takes effect before the fault (``"after"`` the change) or has none
        (``"before"``). ``truncate``, ``content_type`` and ``drip`` are always after; a ``delay`` before the
        change is one after which the change is made.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    method: str | None = None
    path: str | None = None
    times: int | None = Field(1, ge=1)
    skip: int = Field(0, ge=0)
    probability: float = Field(1.0, ge=0.0, le=1.0)
    when: Literal["before", "after"] = "before"
    status: int | None = Field(None, ge=200, le=599)
    headers: dict[str, str] = {}
    body: Any = None
    seconds: float = Field(0.05, ge=0.0)
    content_type: str = "text/plain"
    part: Literal["head", "body"] = "body"
    size: int = Field(64 * 1024 * 1024, ge=2)
    location: str | None = None

    @model_validator(mode="after")
    def _has_a_target(self) -> Self:
        if self.kind == "redirect" and self.location is None:
            raise ValueError("a redirect needs a location")
        return self

    def body_bytes(self) -> bytes | None:
        """Return ``body`` as sent: text unchanged, anything else as JSON; ``None`` if not given."""
        if self.body is None:
            return None
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()


class Faults:
    """The faults in force, tried in the order in which they were added; safe for any thread.

    :param seed: of the generator behind ``probability``.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Remove all faults and restart the random numbers."""
        with self._lock:
            self._random = random.Random(self._seed)  # noqa: S311 - chaos that repeats, not a secret
            self._plans: list[_Plan] = []

    def add(self, fault: Fault) -> None:
        """Put a fault in force."""
        with self._lock:
            self._plans.append(_Plan(fault))

    def pending(self) -> list[Fault]:
        """Return the faults that may still hit."""
        with self._lock:
            return [plan.fault for plan in self._plans]

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault that hits a request, and count it as used once."""
        with self._lock:
            for plan in self._plans:
                if plan.hits(method, path, self._random):
                    if plan.left == 0:
                        self._plans.remove(plan)
                    return plan.fault
        return None


class _Plan:
    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.left = fault.times
        self._skip = fault.skip

    def hits(self, method: str, path: str, generator: random.Random) -> bool:
        fault = self.fault
        if fault.method not in (None, method) or not path_matches(path, fault.path):
            return False
        if self._skip:
            self._skip -= 1
            return False
        if generator.random() >= fault.probability:
            return False
        if self.left is not None:
            self.left -= 1
        return True
