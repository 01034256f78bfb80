"""The gateway in front of the API: journal, authentication, rate limits, permissions and faults."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

from airflow_provider_qlik_assets.sandbox.errors import SandboxError
from airflow_provider_qlik_assets.sandbox.exchange import JSON, Exchange, Reply, dumps
from airflow_provider_qlik_assets.sandbox.faults import Fault, Faults
from airflow_provider_qlik_assets.sandbox.journal import Journal, JournalEntry, without_secrets
from airflow_provider_qlik_assets.sandbox.tenant import Tenant
from airflow_provider_qlik_assets.sandbox.wire import Message, Receive, Scope, Send, Wire

Application = Callable[[Scope, Receive, Send], Awaitable[None]]

TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path
_HTML = "<!DOCTYPE html><html><head><title>Gateway</title></head><body><h1>{status}</h1></body></html>"
_GATED = ("/api/", "/oauth/")


class Gateway:
    """ASGI middleware that lets through what a tenant would, and produces faults on request.

    :param application: the API.
    """

    def __init__(self, application: Application, tenant: Tenant, journal: Journal, faults: Faults) -> None:
        self._application = application
        self._tenant = tenant
        self._journal = journal
        self._faults = faults
        self._errors = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        # Routes match on the path as sent, so that an id may contain an encoded slash.
        scope["path"] = scope["raw_path"].decode("latin-1")
        try:
            if scope["path"].startswith(_GATED):
                await self._answer(scope, receive, send)
            else:
                await self._application(scope, receive, send)
        except asyncio.CancelledError:
            # Only the server's shutdown cancels, after it has closed the connection.
            return

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        authorization = headers.pop("authorization", "")
        hidden = self._tenant.identity.secrets
        entry = JournalEntry(
            arrived=time.monotonic(),
            method=method,
            path=without_secrets(path, hidden),
            query=without_secrets(
                dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)), hidden
            ),
            headers=without_secrets(headers, hidden),
            tier=1 if method == "GET" else 2,
        )
        self._journal.add(entry)
        exchange = Exchange(await _read(receive), headers.get("content-type", ""), authorization)
        entry.body = without_secrets(exchange.body, hidden)
        scope["sandbox.exchange"] = exchange
        fault: Fault | None = None
        try:
            self._admit(entry, exchange)
        except SandboxError as refused:
            answer: Reply | None = Reply.json(refused.status, refused.body, refused.headers)
        else:
            fault = self._faults.take(method, path)
            if fault is None:
                answer = await self._handled(scope)
            else:
                entry.fault = fault.kind
                answer = await self._fail(fault, entry, scope, receive)
        if answer is not None:
            if fault is None or fault.body is None:
                self._add_meta(answer, path)
            # Before sending, so that a client that has the answer finds it in the journal.
            entry.status = answer.status
            await send(
                {"type": "http.response.start", "status": answer.status, "headers": answer.raw_headers()}
            )
            await send({"type": "http.response.body", "body": answer.body if answer.has_body else b""})

    def _add_meta(self, answer: Reply, path: str) -> None:
        """Let the entries of an error body carry what no document describes, as often as the switch says."""
        setting = self._tenant.settings.meta_in_errors
        if answer.status < 400 or answer.headers.get("content-type") != JSON or setting == "never":
            return
        self._errors += 1
        body = json.loads(answer.body or b"null")
        if (setting == "always" or self._errors % 2 == 0) and isinstance(body, dict):
            for entry in body.get("errors", ()):
                entry["meta"] = {"path": path, "attempts": [{"node": self._errors, "retryable": False}]}
            answer.body = dumps(body)

    def _admit(self, entry: JournalEntry, exchange: Exchange) -> None:
        tenant = self._tenant
        with tenant.lock:
            if entry.path == TOKEN_PATH:
                exchange.user = tenant.identity.owner_of_client(exchange.body)
            else:
                exchange.user = tenant.identity.authenticate(exchange.authorization)
            if exchange.user is None:
                return
            entry.user = exchange.user.id
            wait = tenant.quota.admit(entry.user, entry.tier)
            entry.counted = wait is None or tenant.settings.refused_requests_count
        if wait is not None:
            raise SandboxError(
                429,
                f"You need to wait {wait} seconds until limit is lifted.",
                headers={"Retry-After": str(wait)},
            )
        if entry.tier == 2 and not exchange.user.may_write:
            raise SandboxError(403, "The user may read only.")

    async def _handled(self, scope: Scope) -> Reply:
        """Return what the API answers."""
        answer = Reply(500)
        parts = []

        async def nothing_more() -> Message:
            return {"type": "http.disconnect"}

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {
                    name.decode("latin-1"): value.decode("latin-1")
                    for name, value in message["headers"]
                    if name != b"content-length"
                }
            else:
                parts.append(message.get("body", b""))

        await self._application(scope, nothing_more, collect)
        answer.body = b"".join(parts)
        return answer

    async def _fail(self, fault: Fault, entry: JournalEntry, scope: Scope, receive: Receive) -> Reply | None:
        """Apply a fault and return the answer to send, if any."""
        needs_answer = fault.kind in ("delay", "truncate", "content_type", "drip")
        if fault.kind == "delay" and fault.when == "before":
            await asyncio.sleep(fault.seconds)
        answer = await self._handled(scope) if needs_answer or fault.when == "after" else Reply(500)
        wire = Wire(scope, receive)
        match fault.kind:
            case "drop":
                await wire.drop()
            case "reset":
                await wire.reset()
            case "truncate":
                entry.status = answer.status
                await wire.truncate(answer)
            case "drip":
                entry.status = answer.status
                await wire.drip(answer, fault.part, fault.seconds)
            case "delay":
                if fault.when == "after":
                    await asyncio.sleep(fault.seconds)
                return answer
            case "content_type":
                answer.headers["content-type"] = fault.content_type
                return answer
            case "echo":
                return Reply.error(fault.status or 400, f"Not accepted: {scope['sandbox.exchange'].raw!r}")
            case "revoke_token":
                exchange: Exchange = scope["sandbox.exchange"]
                with self._tenant.lock:
                    self._tenant.identity.revoke(exchange.authorization)
                return Reply.error(401, "The token was revoked.")
            case _:
                return _made_up(fault)
        return None


def _made_up(fault: Fault) -> Reply:
    """Build the answer of a fault that does not depend on the request."""
    match fault.kind:
        case "html":
            status = fault.status or 200
            answer = Reply(status, _HTML.format(status=status).encode(), {"content-type": "text/html"})
        case "oversize":
            answer = Reply(
                fault.status or 200, dumps("x" * (fault.size - 2)), {"content-type": "application/json"}
            )
        case "redirect":
            answer = Reply(fault.status or 302, headers={"location": str(fault.location)})
        case _:
            answer = Reply.error(fault.status or 500)
    body = fault.body_bytes()
    if body is not None:
        answer.body = body
        if isinstance(fault.body, str):
            answer.headers["content-type"] = "text/plain; charset=utf-8"
    answer.headers.update({name.lower(): value for name, value in fault.headers.items()})
    return answer


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
