"""The sandbox itself: a server in a thread of its own."""

import asyncio
import socket
import threading
from functools import partial
from types import TracebackType
from typing import Self

import uvicorn
from fastapi_offline import FastAPIOffline

from airflow_provider_qlik_assets.sandbox.access import CONTROL_PATH, Access
from airflow_provider_qlik_assets.sandbox.api import Endpoints
from airflow_provider_qlik_assets.sandbox.control_api import DOCUMENTATION, control_api
from airflow_provider_qlik_assets.sandbox.controls import Controls
from airflow_provider_qlik_assets.sandbox.gateway import Gateway
from airflow_provider_qlik_assets.sandbox.openapi import describe
from airflow_provider_qlik_assets.sandbox.settings import SandboxSettings
from airflow_provider_qlik_assets.sandbox.wire import TransportProtocol

_HOST = "127.0.0.1"
_START_SECONDS = 30.0


class Sandbox(Controls):
    """A local Qlik Cloud tenant on a loopback port.

    :param settings: the switches; :attr:`settings` is a copy that may be changed at any time.
    :param port: 0 takes a free one.
    :param seed: of the random numbers behind a fault's ``probability``.
    """

    def __init__(self, settings: SandboxSettings | None = None, *, port: int = 0, seed: int = 0) -> None:
        super().__init__(settings, seed=seed)
        self._port = port
        self._url: str | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Listen and return once requests are answered.

        :raises OSError: when the port is taken.
        """
        if self._server is not None:
            raise RuntimeError("The sandbox is already running.")
        # Naming the protocol makes asyncio switch Nagle's algorithm off; create_server() leaves it unnamed.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((_HOST, self._port))
        except OSError:
            listener.close()
            raise
        # A sandbox that is started again is found at the same address.
        self._port = listener.getsockname()[1]
        self._url = f"http://{_HOST}:{self._port}"
        self._server = _Server(
            uvicorn.Config(
                self._application(),
                http=TransportProtocol,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="qlik-sandbox", daemon=True
        )
        self._thread.start()
        if not self._server.ready.wait(_START_SECONDS):
            raise RuntimeError("The sandbox did not start.")
        return self

    def stop(self) -> None:
        """Close all connections at once and end the server."""
        if self._server is not None and self._thread is not None:
            self._server.stop()
            self._thread.join()
            self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The tenant's address, without a slash at the end."""
        if self._url is None:
            raise RuntimeError("The sandbox has not been started.")
        return self._url

    def _application(self) -> Access:
        app = FastAPIOffline(
            title="Qlik Cloud sandbox",
            description="Data assets and data stores, as the default settings answer.",
            redoc_url=None,
            redirect_slashes=False,
            swagger_ui_parameters=DOCUMENTATION,
        )
        Endpoints(self._tenant, lambda: self.url).add_to(app)
        app.openapi = partial(describe, app)  # type: ignore[method-assign]
        app.mount(CONTROL_PATH, control_api(self))
        return Access(Gateway(app, self._tenant, self.journal, self._faults), self.control_token)


class _Server(uvicorn.Server):
    """uvicorn's server, which starts and ends without waiting for a tick or for idle connections."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen and say so."""
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self.ready.set()

    async def main_loop(self) -> None:
        """Tick until told to stop."""
        counter = 0
        while not await self.on_tick(counter):
            counter += 1
            try:
                await asyncio.wait_for(self._woken.wait(), 0.1)
            except TimeoutError:
                continue

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        """Close everything now."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        # The connections learn of their end before their requests are cancelled.
        await asyncio.sleep(0)
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def stop(self) -> None:
        """Ask the server to end, from any thread."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._woken.set)
