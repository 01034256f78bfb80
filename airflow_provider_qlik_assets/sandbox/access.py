"""Access to the sandbox: for programs of this machine, but not for pages of other sites in a browser."""

import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from airflow_provider_qlik_assets.sandbox.errors import SandboxError
from airflow_provider_qlik_assets.sandbox.exchange import Reply
from airflow_provider_qlik_assets.sandbox.wire import Receive, Scope, Send

CONTROL_PATH = "/sandbox"

_NAMES = ("127.0.0.1", "localhost", "[::1]")
_READS = ("GET", "HEAD", "OPTIONS")
# A browser loads these to show the documentation of the control API, without sending a token.
_OPEN = ("/sandbox/docs", "/sandbox/openapi.json", "/sandbox/static-offline-docs/")


class Access:
    """ASGI middleware that only lets authorized requests through.

    :param application: the application to protect.
    :param control_token: token that the control API requires.
    """

    def __init__(
        self, application: Callable[[Scope, Receive, Send], Awaitable[None]], control_token: str
    ) -> None:
        self._application = application
        self._control_token = control_token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            self._check(scope)
        except SandboxError as refused:
            answer = Reply.json(refused.status, refused.body, {**refused.headers, "connection": "close"})
            await send(
                {"type": "http.response.start", "status": answer.status, "headers": answer.raw_headers()}
            )
            await send({"type": "http.response.body", "body": answer.body})
        else:
            await self._application(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        port = scope["server"][1]
        own = {f"{name}:{port}" for name in _NAMES} | ({*_NAMES} if port == 80 else set())
        hosts = _values(scope, b"host")
        if len(hosts) != 1 or hosts[0].lower() not in own:
            # Otherwise a page whose host name was rebound to this machine could read the answers.
            raise SandboxError(421, f"The sandbox is at 127.0.0.1:{port} and localhost:{port} only.")
        if scope["method"] not in _READS and (
            any(
                origin.lower() not in {f"http://{name}" for name in own}
                for origin in _values(scope, b"origin")
            )
            or any(site not in ("same-origin", "none") for site in _values(scope, b"sec-fetch-site"))
        ):
            raise SandboxError(403, "Pages of other sites may not write to the sandbox.")
        # Both as a router would read it, and as it was sent.
        if any(path.startswith(CONTROL_PATH) for path in (scope["path"], unquote(scope["path"]))):
            self._check_token(scope)

    def _check_token(self, scope: Scope) -> None:
        if scope["method"] in _READS and scope["raw_path"].decode("latin-1").startswith(_OPEN):
            return
        schemes = (value.partition(" ") for value in _values(scope, b"authorization"))
        given = [token for scheme, _, token in schemes if scheme.lower() == "bearer"]
        if len(given) != 1 or not secrets.compare_digest(given[0].encode(), self._control_token):
            raise SandboxError(
                401,
                "The control API requires the control_token that the sandbox printed, as a bearer token.",
                headers={"WWW-Authenticate": "Bearer"},
            )


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for key, value in scope["headers"] if key.lower() == name]
