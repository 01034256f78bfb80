"""A tenant without HTTP, tasks that take turns at every request, and time that passes as it is told to."""

from __future__ import annotations

import json
import logging
import random
import time
import uuid
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any
from unittest import mock
from urllib.parse import unquote

import greenlet
import pendulum

from airflow_provider_qlik_assets.catalog import bulk, same_name
from airflow_provider_qlik_assets.client import (
    ApiKey,
    QlikApiError,
    QlikCloudClient,
    QlikCloudError,
    QlikConnectionError,
)
from airflow_provider_qlik_assets.client.errors import error_class
from airflow_provider_qlik_assets.client.transport import Answer, Request
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

REPEATED = ", repeated"
FAULTS = ("lost request", "lost answer", "late")
"""A request is not carried out, or carried out at once or later; it is not answered."""


def digest(*parts: object) -> bytes:
    """Return something short that differs where the parts do."""
    return blake2b(repr(parts).encode(), digest_size=16).digest()


class Task:
    """Something that runs until its next request or wait.

    :param name: for messages.
    :param work: what it does.
    """

    def __init__(self, name: str, work: Callable[[], Any], hub: greenlet.greenlet, retries: int) -> None:
        self.name = name
        self.retries = retries
        self.result: Any = None
        self.error: BaseException | None = None
        self.wakes_at: float | None = None
        self.faults: tuple[str, ...] = ()
        self.memory = same_name.Memory()
        self._seen = b""
        self.greenlet = greenlet.greenlet(self._run, hub)
        self._work = work

    def see(self, *seen: object) -> None:
        """Take note of something that may influence what the task does next."""
        self._seen = digest(self._seen, *seen)

    @property
    def state(self) -> Hashable:
        """All that decides what the task may do next; what it has seen decides what it has done."""
        if self.greenlet.dead:
            return self._seen, repr(self.result), repr(self.error)
        return self._seen, self.wakes_at

    def _run(self, _: Any) -> None:
        for _ in range(self.retries + 1):
            try:
                self.result = self._work()
            except QlikCloudError as error:
                self.error = error
            else:
                break


class World:
    """The tenant and its tasks.

    :param choices: decides who goes on, when time passes and which request gets lost.
    :param faults: how many requests may get lost.
    :param ids: ids of the data assets, in the order of their creation.
    :param step: seconds that each write takes.
    :param retries: how many times a task that fails is run again.
    """

    def __init__(
        self,
        choices: Choices,
        *,
        faults: int = 0,
        ids: Iterable[str] = (),
        step: float = 0.0,
        retries: int = 0,
        **settings: Any,
    ) -> None:
        self.now = 1000.0
        self.log: list[str] = []
        self.faults: list[str] = []
        self.reported: list[str] = []
        self.creators: dict[str, str] = {}
        self.deleted: list[tuple[str, str]] = []
        self.retries = retries
        self._choices = choices
        self._faults = faults
        self._step = step
        self._ids = iter(ids)
        self._late: list[tuple[float, str, Callable[[], object]]] = []
        self._documents: str | None = None
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

    def story(self) -> str:
        """Return what happened, for a test that fails."""
        ends = [f"{task.name}: {task.result or task.error!r}" for task in self._tasks]
        return "\n".join(["", *self.log, *self.reported, *ends])

    @property
    def has_late_commit(self) -> bool:
        """Whether a write was carried out after its task was told that there was no answer."""
        return any(fault.startswith("late") for fault in self.faults)

    def task(self, name: str, work: Callable[[QlikCloudClient], Any]) -> Task:
        """Add a task, with a client of its own."""
        client = DirectClient(self)
        task = Task(name, lambda: work(client), self._hub, self.retries)
        self._tasks.append(task)
        return task

    def run(self) -> None:
        """Let the tasks go on in the chosen order until all have ended."""
        with self._patched():
            for task in self._tasks:
                self._resume(task)
            while any(not task.greenlet.dead for task in self._tasks):
                self._go_on()
            while self._late:
                self._pass_time()

    def _go_on(self) -> None:
        """Let happen what is chosen: a task goes on, with or without a fault, or time passes."""
        ready = [task for task in self._tasks if not task.greenlet.dead and task.wakes_at is None]
        options: list[tuple[Task | None, str]] = [(task, "") for task in ready]
        if self._faults:
            options += [(task, fault) for task in ready for fault in task.faults]
        if self._moments():
            options.append((None, ""))
        task, fault = options[self._choices.choose(len(options), self._state)]
        if task is None:
            self._pass_time()
            return
        if fault:
            self._faults -= 1
            self.faults.append(fault)
        self._resume(task, fault)

    def _resume(self, task: Task, fault: str = "") -> None:
        """Let a task go on until its next request or wait."""
        self._running, same_name.memory = task, task.memory
        task.greenlet.switch(fault)

    def _moments(self) -> list[float]:
        """Return when something happens by itself."""
        waking = [task.wakes_at for task in self._tasks if task.wakes_at is not None]
        return waking + [moment for moment, _, _ in self._late]

    def _pass_time(self) -> None:
        """Go to the next moment; who wakes sends its next request, which may take any time to arrive."""
        self.now = max(self.now, min(self._moments()))
        due = [commit for moment, _, commit in self._late if moment <= self.now]
        self._late = [late for late in self._late if late[0] > self.now]
        for commit in due:
            self._attempt(commit)
        for task in self._tasks:
            if task.wakes_at is not None and task.wakes_at <= self.now:
                task.wakes_at = None
                self._resume(task)

    def _state(self) -> Hashable:
        """Return all that decides what may still happen, and what is checked in the end."""
        if self._documents is None:
            self._documents = json.dumps(self.assets, sort_keys=True)
        late = [(moment, sent) for moment, sent, _ in self._late]
        tasks = [task.state for task in self._tasks]
        return digest(self.now, self._faults, self.faults, self._documents, late, tasks)

    def sleep(self, seconds: float) -> None:
        """Let the running task wait."""
        task = self._current()
        self.log.append(f"{task.name} sleeps {seconds:g} s")
        if seconds > 0:
            task.wakes_at = self.now + seconds
            self._hub.switch()

    def request(
        self, method: str, path: str, params: dict[str, str], body: Any, *, is_repeatable: bool
    ) -> str | None:
        """Answer a request of the running task once it is its turn.

        :param is_repeatable: whether it may be sent again if it is not answered.
        :return: the JSON of the answer; ``None`` if it is to be sent again.
        :raises QlikCloudError: that the client raises.
        """
        task = self._current()
        if method == "GET":  # lost or not, it has no effect; repeated, it is a read that comes later
            task.faults = ("lost answer",)
        elif is_repeatable:
            task.faults = (*FAULTS, *(fault + REPEATED for fault in FAULTS))
        else:
            task.faults = FAULTS
        sent = json.dumps(body)
        fault = self._hub.switch()
        self.now += self._step if method != "GET" else 0.0
        self.log.append(f"{self.now - 1000:6.3f} {task.name} {method} {path} {fault}".rstrip())

        def carry_out() -> str:
            if method != "GET":
                self._documents = None
            return json.dumps(self._answer(task.name, method, path, params, json.loads(sent)))

        if fault:
            kind = fault.removesuffix(REPEATED)
            if kind == "lost answer":
                self._attempt(carry_out)
            elif kind == "late":
                self._late.append((self.now + LATE_SECONDS, f"{method} {path} {sent}", carry_out))
            if kind != fault:
                task.see(REPEATED)
                return None
            task.see("no answer")
            raise QlikConnectionError(f"{method} {path}: no answer", request_sent=True)
        try:
            answer = carry_out()
        except SandboxError as error:
            task.see(error.status)
            raise error_class(error.status)(method, path, error.status) from None
        task.see(answer)
        return answer

    def _current(self) -> Task:
        assert self._running is not None
        return self._running

    @staticmethod
    def _attempt(commit: Callable[[], object]) -> None:
        with suppress(SandboxError):
            commit()

    def _answer(self, name: str, method: str, path: str, params: dict[str, str], body: Any) -> Any:
        tenant, settings = self.tenant, self.tenant.settings
        parts = [unquote(part) for part in path.removeprefix("/api/v1/").split("/")]
        match method, parts:
            case "GET", ["users", "me"]:
                return {"id": FULL_ACCESS.id, "tenantId": "t"}
            case "GET", ["data-assets", key]:
                document = tenant.get(ASSET, key)
            case "POST", ["data-assets"]:
                document = tenant.create(ASSET, body, FULL_ACCESS)
                self.creators[document["id"]] = name
            case "PATCH", ["data-assets", key]:
                document = tenant.patch(ASSET, key, body, FULL_ACCESS)
            case "DELETE", ["data-assets"]:
                existing = [key for key in body["ids"] if key in self.assets]
                tenant.delete(ASSET, body)
                self.deleted += [(name, key) for key in existing]
                return None
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
        logger = logging.getLogger("airflow_provider_qlik_assets")
        logger.addHandler(handler)
        logger.propagate = False  # nobody reads what thousands of runs log
        try:
            with (
                mock.patch.object(documents, "now", self._instant),
                mock.patch.object(uuid, "uuid4", self._ids.__next__),
                mock.patch.object(bulk, "ThreadPoolExecutor", _NoThreads),
                mock.patch.object(random, "uniform", lambda low, high: low),
                mock.patch.object(time, "monotonic", self.seen_now),
                mock.patch.object(same_name, "memory", same_name.memory),
            ):
                yield
        finally:
            for task in self._tasks:
                task.greenlet.throw()  # those of a run that was ended early
            logger.removeHandler(handler)
            logger.propagate = True

    def seen_now(self) -> float:
        """Return the time, of which the running task takes note."""
        if self._running is not None:
            self._running.see(self.now)
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
        return pendulum.instance(EPOCH + timedelta(seconds=self.world.seen_now()))

    def _send(self, method: str, path: str, **options: Any) -> Answer:
        request = Request(method, path, **options)
        body, params = request.body, dict(request.params or {})
        answer, repeated = None, False
        while answer is None:
            if request.last_look is not None:
                body = request.last_look(repeated)
                if body is None:
                    return Answer(204, request.parse(None), repeated)
            try:
                answer = self.world.request(method, path, params, body, is_repeatable=request.safe_to_repeat)
            except QlikApiError as error:
                error.repeated = repeated
                raise
            repeated |= answer is None
        return Answer(200, request.parse(json.loads(answer)), repeated)


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
