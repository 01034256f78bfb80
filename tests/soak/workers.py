"""A process of a soak: carries out random operations, and writes down each before and after."""

from __future__ import annotations

import json
import logging
import random
import time
import traceback
from pathlib import Path
from typing import Any

from airflow_provider_qlik_assets.catalog import Result
from airflow_provider_qlik_assets.client import ApiKey, QlikCloudClient, RateLimits, RetryPolicy
from airflow_provider_qlik_assets.client.errors import QlikCloudError
from tests.soak.operations import Arguments, carry_out, decide

READ_SECONDS = 1.5
"""How long a worker waits for an answer; what is delayed longer is carried out without it."""

GENERATION = 10_000
"""A worker that is started again counts its operations on from the next multiple."""


class Warnings(logging.Handler):
    """Collects what is logged as a warning."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of a line."""
        self.lines.append(record.getMessage())


class Worker:
    """A process, or a part of its life.

    :param settings: as :func:`tests.soak.run.worker_settings` returns them.
    :param worker: its number.
    :param generation: how often it was started before.
    """

    def __init__(self, settings: Arguments, worker: int, generation: int) -> None:
        self._settings = settings
        self._worker = worker
        self._number = generation * GENERATION
        self._rng = random.Random(f"{settings['seed']}/{worker}/{generation}")
        self._known: dict[tuple[str, str], str] = {}
        path = Path(settings["directory"]) / f"worker-{worker}-{generation:03}.jsonl"
        self._file = path.open("w", buffering=1)
        self._warnings = Warnings()
        logging.getLogger("airflow_provider_qlik_assets").addHandler(self._warnings)
        limits = settings["limits"]
        self._client = QlikCloudClient(
            settings["url"],
            ApiKey(settings["api_key"]),
            timeout=(5.0, READ_SECONDS),
            retry=RetryPolicy(max_retries=5, max_retry_wait=30.0),
            rate_limits=RateLimits(limits["tier1_limit"], limits["tier2_limit"], limits["window"]),
            rate_limit_store=f"file://{settings['directory']}/rate-limits",
        )

    def run(self) -> None:
        """Carry out operations until the time is over."""
        while time.monotonic() < self._settings["until"]:
            time.sleep(self._rng.uniform(0, 2 * self._settings["pause"]))
            operation = decide(self._rng, self._worker, self._number + 1, self._known)
            self.carry_out(operation)

    def carry_out(self, operation: Arguments) -> None:
        """Carry one operation out and write down what became of it."""
        self._number += 1
        self._write("begin", **operation)
        self._warnings.lines.clear()
        results: list[Result] = []
        try:
            with self._client.with_options(user_agent=f"soak/{self._worker}.{self._number}") as client:
                results = carry_out(client, operation, lambda **known: self._write("know", **known))
        except QlikCloudError as error:
            end: Arguments = {"outcome": type(error).__name__, "error": str(error)}
            if type(error).__name__ == "QlikNotFoundError":
                self._forget(operation.get("ids", []))
        except Exception:  # noqa: BLE001 - all that is not typed is a violation
            end = {"outcome": "untyped", "error": traceback.format_exc()}
        else:
            end = {"outcome": "done"}
            self._learn(results)
        actions = [[result.id, result.action] for result in results]
        self._write("end", **end, results=actions, warnings=self._warnings.lines)

    def _write(self, event: str, **fields: Any) -> None:
        line = {"event": event, "at": time.monotonic(), "worker": self._worker, "number": self._number}
        self._file.write(json.dumps({**line, **fields}) + "\n")

    def _learn(self, results: list[Result]) -> None:
        for result in results:
            asset = result.data_asset
            if result.action in {"deleted", "missing"}:
                self._forget([result.id])
            elif asset is not None and asset.store_id and asset.technical_name:
                self._known[asset.store_id, asset.technical_name] = result.id

    def _forget(self, ids: list[str]) -> None:
        self._known = {name: key for name, key in self._known.items() if key not in ids}


def work(settings: Arguments, worker: int, generation: int) -> None:
    """Be a process of a soak."""
    Worker(settings, worker, generation).run()


def nothing() -> None:
    """Let the server of processes import everything before the first worker starts."""
