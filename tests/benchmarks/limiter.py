"""Measure the rate limiter: cost, fairness, safety and use of the quota.

Run ``python tests/benchmarks/limiter.py`` on a machine that does nothing else; it takes about three minutes
and prints Markdown. Redis is left out where there is no ``redis-server`` binary.

- *alone*: one process, quota not used up; seconds of the clock and of the CPU per ``acquire``.
- *burst*: 50 processes at once, quota not used up.
- *saturated*: 50 processes that want far more than the quota, here 500 requests in 20 s. Each request takes
  10 to 150 ms to a server that counts those that arrive in each rolling window. Jain's index is 1 when all
  processes get the same number.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import platform
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from airflow_provider_qlik_assets.client.rate_limit.ledger import MAX_PERMITS
from airflow_provider_qlik_assets.client.rate_limit.limiter import RateLimiter, RateLimits, Tier
from airflow_provider_qlik_assets.client.rate_limit.open_store import open_store

PROCESSES = 50
FREE = RateLimits(tier2_limit=MAX_PERMITS, window=30.0)
TIGHT = RateLimits(tier2_limit=500, window=20.0)
SATURATED_SECONDS = 60.0

FORK = multiprocessing.get_context("fork")


def _limiter(url: str, name: str, limits: RateLimits) -> RateLimiter:
    return RateLimiter(open_store(url), tenant=name, identity="benchmark", limits=limits)


def _alone(url: str) -> tuple[float, float]:
    """Return the best of several rounds, in µs of the clock and of the CPU per acquire."""
    limiter = _limiter(url, "alone", FREE)
    rounds = []
    for _ in range(12):
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(500):
            limiter.acquire(Tier.TWO)
        rounds.append((time.perf_counter() - wall, time.process_time() - cpu))
    wall, cpu = (min(values) / 500 * 1e6 for values in zip(*rounds, strict=True))
    return wall, cpu


def _in_processes(work: Callable[[Connection], None]) -> list[Any]:
    """Return what ``work`` sends from each of 50 processes, which start together."""
    pipes = [FORK.Pipe() for _ in range(PROCESSES)]
    processes = [FORK.Process(target=work, args=(theirs,)) for _, theirs in pipes]
    for process in processes:
        process.start()
    for ours, _ in pipes:
        ours.recv()
    for ours, _ in pipes:
        ours.send("go")
    results = [ours.recv() for ours, _ in pipes]
    for process in processes:
        process.join()
    return results


def _burst_worker(url: str, pipe: Connection) -> None:
    limiter = _limiter(url, "burst", FREE)
    limiter.wait_for(Tier.TWO)
    pipe.send("ready")
    pipe.recv()
    latencies = []
    cpu = time.process_time()
    for _ in range(100):
        start = time.perf_counter()
        limiter.acquire(Tier.TWO)
        latencies.append(time.perf_counter() - start)
    pipe.send((time.process_time() - cpu, latencies))


def _burst(url: str) -> tuple[float, float, float]:
    """Return µs of the CPU per acquire, and the median and 99th percentile of the latency in ms."""
    results = _in_processes(partial(_burst_worker, url))
    latencies = [latency for _, values in results for latency in values]
    cuts = statistics.quantiles(latencies, n=100)
    return sum(cpu for cpu, _ in results) / len(latencies) * 1e6, cuts[49] * 1e3, cuts[98] * 1e3


def _saturated_worker(url: str, pipe: Connection) -> None:
    limiter = _limiter(url, "saturated", TIGHT)
    pipe.send("ready")
    pipe.recv()
    end = time.monotonic() + SATURATED_SECONDS
    arrivals, waits = [], []
    while time.monotonic() < end:
        waits.append(limiter.acquire(Tier.TWO))
        time.sleep(random.uniform(0.01, 0.15))
        arrivals.append(time.monotonic())
    pipe.send((arrivals, waits))


def _refused(arrivals: list[float]) -> int:
    """Return how many requests a server with an exact rolling window would refuse."""
    accepted: list[float] = []
    refused = 0
    for arrival in sorted(arrivals):
        if len(accepted) >= TIGHT.tier2_limit and accepted[-TIGHT.tier2_limit] > arrival - TIGHT.window:
            refused += 1
        else:
            accepted.append(arrival)
    return refused


def _saturated(url: str) -> tuple[float, float, int, float]:
    """Return Jain's index, the longest wait in windows, the refusals, and the used share of the limit."""
    results = _in_processes(partial(_saturated_worker, url))
    counts = [len(arrivals) for arrivals, _ in results]
    arrivals = sorted(arrival for values, _ in results for arrival in values)
    jain = sum(counts) ** 2 / (len(counts) * sum(count**2 for count in counts))
    longest = max(wait for _, waits in results for wait in waits)
    # Whole windows only, from the first arrival: the last one is cut off by the end of the run.
    windows = int(SATURATED_SECONDS // TIGHT.window)
    used = sum(arrival < arrivals[0] + windows * TIGHT.window for arrival in arrivals)
    return jain, longest / TIGHT.window, _refused(arrivals), used / (windows * TIGHT.tier2_limit)


@contextlib.contextmanager
def _stores() -> Iterator[dict[str, str]]:
    """Provide a fresh store of each kind, by name."""
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        stores = {"memory": "memory:", "file": f"file://{directory}/state"}
        if shutil.which("redis-server"):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            command = f"redis-server --port {port} --bind 127.0.0.1 --save  --appendonly no".split(" ")
            server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            stack.callback(server.wait)
            stack.callback(server.kill)
            time.sleep(1)
            stores["Redis"] = f"redis://127.0.0.1:{port}/0"
        yield stores


def _machine() -> str:
    versions = [f"Python {platform.python_version()}", f"{platform.system()} {platform.release()}"]
    with contextlib.suppress(ImportError, OSError):
        import redis  # noqa: PLC0415

        output = subprocess.run(
            ["redis-server", "--version"], capture_output=True, text=True, check=True
        ).stdout
        versions.append(f"redis-py {redis.__version__}, Redis {output.split('v=')[1].split()[0]}")
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if "model name" in line), platform.machine()
    )
    return f"{os.cpu_count()} CPUs, {model}; {', '.join(versions)}"


def main() -> None:
    """Print one table row per store."""
    sys.stdout.write(
        f"{_machine()}\n\n"
        "| store | alone: µs, µs CPU | burst: µs CPU, median / p99 ms "
        "| saturated: Jain, longest wait (windows) | refused | used |\n"
        "|---|---|---|---|---|---|\n"
    )
    with _stores() as stores:
        for name, url in stores.items():
            wall, cpu = _alone(url)
            cells = [name, f"{wall:.1f}, {cpu:.1f}"]
            if name == "memory":  # shared by threads only
                cells += [""] * 4
            else:
                cpu, median, p99 = _burst(url)
                jain, longest, refused, used = _saturated(url)
                cells += [
                    f"{cpu:.1f}, {median:.2f} / {p99:.1f}",
                    f"{jain:.3f}, {longest:.2f}",
                    str(refused),
                    f"{used:.1%}",
                ]
            sys.stdout.write(f"| {' | '.join(cells)} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
