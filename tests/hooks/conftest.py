"""What the tests of the hook share: a hook on the sandbox, and hosts that are no tenants."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from airflow_provider_qlik_assets.hooks.qlik_cloud import QlikCloudHook


@pytest.fixture
def hook(qlik_conn_id: str) -> Iterator[QlikCloudHook]:
    hook = QlikCloudHook(qlik_conn_id)
    yield hook
    hook.close()


@pytest.fixture
def answering() -> Iterator[Callable[..., str]]:
    """Run hosts that answer everything alike: ``answering(status, body, headers) -> address``."""
    with contextlib.ExitStack() as stack:

        def start(status: int, body: bytes, headers: dict[str, str]) -> str:
            class Handler(BaseHTTPRequestHandler):
                def answer(self) -> None:
                    self.send_response(status)
                    for name, value in {**headers, "Content-Length": str(len(body))}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)

                do_GET = answer  # noqa: N815
                do_POST = answer  # noqa: N815
                do_CONNECT = answer  # noqa: N815

                def log_message(self, *arguments: object) -> None:
                    pass

            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield start
