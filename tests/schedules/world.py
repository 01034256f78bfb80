"""A tenant without HTTP, tasks that take turns at every request, and time that passes as it is told to."""

from __future__ import annotations

import copy
import json
import logging
import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock
from urllib.parse import unquote

import greenlet
import pendulum

from airflow_provider_qlik_assets.catalog import bulk, creation
from airflow_provider_qlik_assets.client import ApiKey, QlikCloudClient, QlikCloudError, QlikConnectionError
from airflow_provider_qlik_assets.client.errors import error_class
from airflow_provider_qlik_assets.client.transport import Answer
from airflow_provider_qlik_assets.sandbox import documents, paging
from airflow_provider_qlik_assets.sandbox.documents import Document
from airflow_provider_qlik_assets.sandbox.errors import SandboxError
from airflow_provider_qlik_assets.sandbox.identity import FULL_ACCESS
from airflow_provider_qlik_assets.sandbox.settings import SandboxSettings
from airflow_provider_qlik_assets.sandbox.tenant import ASSET, STORE, Tenant
from tests.schedules.explorer import Choices

EPOCH = datetime(2026, 1, 31, tzinfo=UTC)
LATE_SECONDS = 1.9
"""A create that is carried out after its answer was lost takes as long."""

FAULTS = ("lost request", "lost answer", "late")


class Task:
    """Something that runs until its next request or wait.

    :param name: for messages.
    :param work: what it does.
    """

    def __init__(self, name: str, work: Callable[[], Any], hub: greenlet.greenlet) -> None:
        self.name = name
        self.result: Any = None
        self.error: BaseException | None = None
        self.wakes_at = 0.0
        self.is_writing = False
        self.greenlet = greenlet.greenlet(self._run, hub)
        self._work = work

    def _run(self, _: Any) -> None:
        try:
            self.result = self._work()
        except QlikCloudError as error:
            self.error = error


class World:
    """The tenant and its tasks.

    :param choices: decides who goes on, when time passes and which request gets lost.
    :param faults: how many requests may get lost.
    :param ids: ids of the data assets, in the order of their creation.
    :param step: seconds that each request takes.
    """

    def __init__(
        self,
        choices: Choices,
        *,
        faults: int = 0,
        ids: Iterable[str] = (),
        step: float = 0.0,
        **settings: Any,
    ) -> None:
        self.now = 1000.0
        self.log: list[str] = []
        self.faults: list[str] = []
        self.reported: list[str] = []
        self._choices = choices
        self._faults = faults
        self._step = step
        self._ids = iter(ids)
        self._late: list[tuple[float, Callable[[], object]]] = []
        self._tasks: list[Task] = []
        self._running: Task | None = None
        self._hub = greenlet.getcurrent()
        self.tenant = Tenant(
            SandboxSettings(duplicate_technical_name="allowed", undocumented_field=False, **settings),
            lambda: self.now,
        )
        self.tenant.seed(STORE, {"id": "store", "name": "Store", "type": "t", "technicalName": "store"})

    @property
    def assets(self) -> dict[str, Document]:
        """The data assets by id."""
        return self.tenant.snapshot(ASSET)

    def task(self, name: str, work: Callable[[QlikCloudClient], Any]) -> Task:
        """Add a task, with a client of its own."""
        client = DirectClient(self)
        task = Task(name, lambda: work(client), self._hub)
        self._tasks.append(task)
        return task

    def run(self) -> None:
        """Let the tasks go on in the chosen order until all have ended."""
        with self._patched():
            while unfinished := [task for task in self._tasks if not task.greenlet.dead]:
                ready = [task for task in unfinished if task.wakes_at <= self.now]
                moments = [task.wakes_at for task in unfinished if task.wakes_at > self.now]
                moments += [moment for moment, _ in self._late]
                options: list[tuple[Task | None, str]] = [(task, "") for task in ready]
                if self._faults:
                    options += [(task, fault) for task in ready if task.is_writing for fault in FAULTS]
                if moments:
                    options.append((None, ""))
                task, fault = options[self._choices.choose(len(options))]
                if task is None:
                    self._pass_time(min(moments))
                else:
                    self._faults -= bool(fault)
                    self.faults += [fault] if fault else []
                    self._running = task
                    task.greenlet.switch(fault)
            for moment, _ in list(self._late):
                self._pass_time(moment)

    def _pass_time(self, moment: float) -> None:
        self.now = max(self.now, moment)
        due = [commit for when, commit in self._late if when <= self.now]
        self._late = [(when, commit) for when, commit in self._late if when > self.now]
        for commit in due:
            self._attempt(commit)

    def sleep(self, seconds: float) -> None:
        """Let the running task wait."""
        task = self._current()
        self.log.append(f"{task.name} sleeps {seconds:g} s")
        task.wakes_at, task.is_writing = self.now + seconds, False
        self._hub.switch()

    def request(self, method: str, path: str, params: dict[str, str], body: Any) -> Any:
        """Answer a request of the running task once it is its turn."""
        task = self._current()
        task.is_writing = method != "GET"
        fault = self._hub.switch()
        self.now += self._step
        self.log.append(f"{self.now - 1000:6.3f} {task.name} {method} {path} {fault}".rstrip())

        def carry_out() -> Any:
            return self._answer(method, path, params, copy.deepcopy(body))

        if not fault:
            return self._as_client_error(method, path, carry_out)
        if fault == "lost answer":
            self._attempt(carry_out)
        elif fault == "late":
            self._late.append((self.now + LATE_SECONDS, carry_out))
        raise QlikConnectionError(f"{method} {path}: no answer", request_sent=True)

    def _current(self) -> Task:
        assert self._running is not None
        return self._running

    @staticmethod
    def _attempt(commit: Callable[[], object]) -> None:
        with suppress(SandboxError):
            commit()

    @staticmethod
    def _as_client_error(method: str, path: str, carry_out: Callable[[], Any]) -> Any:
        try:
            return carry_out()
        except SandboxError as error:
            raise error_class(error.status)(method, path, error.status) from None

    def _answer(self, method: str, path: str, params: dict[str, str], body: Any) -> Any:
        tenant, settings = self.tenant, self.tenant.settings
        parts = [unquote(part) for part in path.removeprefix("/api/v1/").split("/")]
        match method, parts:
            case "GET", ["users", "me"]:
                return {"id": FULL_ACCESS.id, "tenantId": "t"}
            case "GET", ["data-assets", key]:
                document = tenant.get(ASSET, key)
            case "POST", ["data-assets"]:
                document = tenant.create(ASSET, body, FULL_ACCESS)
            case "PATCH", ["data-assets", key]:
                document = tenant.patch(ASSET, key, body, FULL_ACCESS)
            case "DELETE", ["data-assets"]:
                return tenant.delete(ASSET, body)
            case "GET", ["data-stores", stores, "data-assets"]:
                sort = paging.sort_fields(params.get("sort"), ASSET.fields, settings)
                listed = tenant.listed(ASSET, stores.split(","), sort)
                items, rest = paging.page_of(listed, path, params, settings)
                return {"data": list(items), **rest}
            case _:
                raise AssertionError(f"{method} {path}")
        return document

    @contextmanager
    def _patched(self) -> Iterator[None]:
        """Give tenant and catalog this world's time, ids and threads."""
        handler = _Reports(self.reported)
        logger = logging.getLogger(creation.__name__)
        logger.addHandler(handler)
        try:
            with (
                mock.patch.object(documents, "now", self._instant),
                mock.patch.object(uuid, "uuid4", self._ids.__next__),
                mock.patch.object(bulk, "ThreadPoolExecutor", _NoThreads),
                mock.patch.object(random, "uniform", lambda low, high: low),
                mock.patch.object(time, "monotonic", self._clock),
                mock.patch.object(creation, "memory", creation.Memory()),
            ):
                yield
        finally:
            logger.removeHandler(handler)

    def _clock(self) -> float:
        return self.now

    def _instant(self) -> str:
        when = EPOCH + timedelta(seconds=self.now)
        return f"{when.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


class DirectClient(QlikCloudClient):
    """The client, with the tenant in place of a transport."""

    def __init__(self, world: World) -> None:
        super().__init__("http://127.0.0.1:1", ApiKey("key-of-the-world"), rate_limit_store="memory:")
        self.world = world

    def with_options(self, **options: Any) -> Any:
        """Return itself: it has no transport whose options could differ."""
        return self

    def close(self) -> None:
        """Keep what others use."""

    def sleep(self, seconds: float) -> None:
        """Wait in the world's time."""
        self.world.sleep(seconds)

    def server_now(self) -> pendulum.DateTime:
        """Return the world's time."""
        return pendulum.instance(EPOCH + timedelta(seconds=self.world.now))

    def _send(self, method: str, path: str, **options: Any) -> Answer:
        body, last_look = options.get("body"), options.get("last_look")
        parse = options.get("parse", lambda answered: answered)
        if last_look is not None:
            body = last_look(False)  # nothing is repeated here
            if body is None:
                return Answer(204, parse(None), repeated=False)
        document = self.world.request(method, path, dict(options.get("params") or {}), body)
        return Answer(200, parse(json.loads(json.dumps(document))), repeated=False)


class _NoThreads:
    """An executor that does everything at once, in the caller's thread."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        pass

    def submit(self, do: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(do(*arguments))
        except Exception as error:  # noqa: BLE001 - as an executor does
            future.set_exception(error)
        return future

    def shutdown(self, **options: Any) -> None:
        pass


class _Reports(logging.Handler):
    def __init__(self, reported: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._reported = reported

    def emit(self, record: logging.LogRecord) -> None:
        self._reported.append(record.getMessage())
