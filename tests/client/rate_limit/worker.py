"""Processes that send requests under a shared limit; run by the tests as a program of its own.

Reads its configuration as JSON from its argument. Each process appends ``asked arrived`` for each request to
a file in the directory ``log`` that is named after its process id: the time right before it asked for the
grant that it got, and the time at which the request reached the pretended server.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import sys
import time
from pathlib import Path

from airflow_provider_qlik_assets.client.rate_limit.limiter import RateLimiter, RateLimits, Tier
from airflow_provider_qlik_assets.client.rate_limit.open_store import open_store


def send(config: dict) -> None:
    """Send the requests of one process."""
    asked = 0.0

    def sleep(seconds: float) -> None:
        nonlocal asked
        time.sleep(seconds)
        asked = time.monotonic()

    limits = RateLimits(tier2_limit=config["limit"], window=config["window"])
    limiter = RateLimiter(
        open_store(config["store"]), tenant="tenant", identity="user", limits=limits, sleep=sleep
    )
    # One unbuffered write per request: a killed process leaves whole lines.
    log = os.open(Path(config["log"]) / str(os.getpid()), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for _ in range(config["requests"]):
        asked = time.monotonic()
        limiter.acquire(Tier.TWO)
        time.sleep(random.uniform(0.0, 0.01))
        os.write(log, f"{asked} {time.monotonic()}\n".encode())


def main() -> None:
    """Run the processes and fail if one of them does."""
    config = json.loads(sys.argv[1])
    open_store(config["store"])  # imported once, before any fork
    context = multiprocessing.get_context(config["start"])
    processes = [context.Process(target=send, args=(config,)) for _ in range(config["processes"])]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    sys.exit(any(process.exitcode for process in processes))


if __name__ == "__main__":
    main()
