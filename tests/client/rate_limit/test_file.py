"""The file store: damage, foreign hands, reboots, and processes that die or stop at the worst moment."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import signal
import time
from pathlib import Path

import pytest

from airflow_provider_qlik_assets.client.host_state import StateUnavailableError, locked
from airflow_provider_qlik_assets.client.rate_limit import file as file_module
from airflow_provider_qlik_assets.client.rate_limit.file import FileStore
from airflow_provider_qlik_assets.client.rate_limit.ledger import Quota

QUOTA = Quota(permits=5, window=60.0)
EVER = 1e9
FORK = multiprocessing.get_context("fork")

# Python 3.12 and later warn of forks in processes with threads, such as the one that watches the time-out.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def open_again(directory: Path, clock):
    """Return the store as another process would open it, ``boot`` telling the runs of the host apart."""

    def open_again(*, boot: int = 1, wall_clock=None) -> FileStore:
        return FileStore(
            directory, clock=clock, wall_clock=wall_clock or clock, boot_id=lambda: bytes([boot] * 16)
        )

    return open_again


@pytest.fixture
def state(directory: Path, open_again, key: str) -> Path:
    """The state file of a quota that is used up."""
    store = open_again()
    for _ in range(QUOTA.permits):
        assert store.ask(key, QUOTA, 0, EVER).granted
    return directory / f"{key}.quota"


def _is_paced(store: FileStore, key: str) -> bool:
    """Return whether the quota was started again, with evenly spaced grants."""
    assert store.ask(key, QUOTA, 0, EVER).granted
    return store.ask(key, QUOTA, 0, -1.0).delay == QUOTA.window / QUOTA.permits


def test_other_process_sees_the_same_quota(state: Path, open_again, key: str) -> None:
    assert open_again().ask(key, QUOTA, 0, -1.0).delay == 60.0


def test_file_is_private_and_does_not_grow(state: Path, open_again, key: str, clock) -> None:
    size = state.stat().st_size
    for _ in range(300):
        open_again().ask(key, QUOTA, 0, EVER)
        clock.sleep(1)

    assert state.stat().st_size == size
    assert state.stat().st_mode & 0o777 == 0o600


def _flip(state: Path, offset: int) -> None:
    content = bytearray(state.read_bytes())
    content[offset] ^= 0xFF
    state.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda state: state.write_bytes(os.urandom(200_000)), id="noise"),
        pytest.param(lambda state: state.write_bytes(b"text"), id="short"),
        pytest.param(lambda state: state.write_bytes(bytes(state.stat().st_size)), id="zeros"),
        pytest.param(lambda state: _flip(state, 0), id="other version"),
        pytest.param(lambda state: _flip(state, 40), id="flipped bit in the header"),
        pytest.param(lambda state: os.truncate(state, 300), id="truncated after the header"),
        pytest.param(
            lambda state: state.write_bytes(state.read_bytes()[:200].ljust(90_000, b"\xff")),
            id="damaged ring",
        ),
    ],
)
def test_damaged_file_is_started_again_slowly(
    state: Path, open_again, key: str, caplog: pytest.LogCaptureFixture, damage
) -> None:
    size = state.stat().st_size
    damage(state)

    assert _is_paced(open_again(), key)
    assert caplog.messages == [f"{state} was damaged or deleted: requests are evenly spaced for 60 s."]
    assert state.stat().st_size == size


def test_damaged_queue_is_started_again(state: Path, open_again, key: str) -> None:
    open_again().ask(key, QUOTA, 0, EVER)
    os.truncate(state, 260)

    assert _is_paced(open_again(), key)


@pytest.mark.parametrize(
    "loss", [Path.unlink, lambda state: os.truncate(state, 0)], ids=["deleted", "emptied"]
)
def test_lost_file_is_noticed_by_those_who_knew_it(open_again, key: str, directory: Path, loss) -> None:
    store = open_again()
    store.ask(key, QUOTA, 0, EVER)
    loss(directory / f"{key}.quota")

    assert _is_paced(store, key)


def test_grant_without_its_header_does_not_count(state: Path, open_again, key: str, clock) -> None:
    """A process that is killed between grant and header leaves the header of before."""
    header = state.read_bytes()[:200]
    clock.sleep(60)
    open_again().ask(key, QUOTA, 0, EVER)
    with state.open("r+b") as torn:
        torn.write(header)

    assert [open_again().ask(key, QUOTA, 0, EVER).granted for _ in range(6)] == [True] * 5 + [False]


class TestReboot:
    def test_downtime_counts_by_the_wall_clock(self, state: Path, open_again, key: str, clock) -> None:
        wall = clock.now + 20
        clock.now = 3.0

        assert open_again(boot=2, wall_clock=lambda: wall).ask(key, QUOTA, 0, -1.0).delay == pytest.approx(40)

    def test_time_goes_on_by_the_new_clock(self, state: Path, open_again, key: str, clock) -> None:
        wall = clock.now + 20
        clock.now = 3.0
        open_again(boot=2, wall_clock=lambda: wall).ask(key, QUOTA, 0, -1.0)
        clock.sleep(15)

        assert open_again(boot=2).ask(key, QUOTA, 0, -1.0).delay == pytest.approx(25)

    def test_wall_clock_that_went_back_gives_nothing_back(
        self, state: Path, open_again, key: str, clock
    ) -> None:
        clock.now = 3.0
        store = open_again(boot=2, wall_clock=lambda: -1e6)

        assert store.ask(key, QUOTA, 0, -1.0).delay == 60

    def test_wall_clock_steps_do_not_matter_otherwise(self, state: Path, open_again, key: str) -> None:
        assert open_again(wall_clock=lambda: 1e9).ask(key, QUOTA, 0, -1.0).delay == 60


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda path: path.symlink_to("/dev/null"), id="symlink"),
        pytest.param(lambda path: path.touch(0o666) or path.chmod(0o666), id="wrong mode"),
        pytest.param(lambda path: path.mkdir(), id="directory"),
        pytest.param(
            lambda path: path.touch(0o600) or os.chown(path, 12345, 12345),
            id="foreign",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else"),
        ),
    ],
)
def test_file_in_foreign_hands_is_not_used(open_again, key: str, directory: Path, spoil) -> None:
    directory.mkdir(mode=0o700)
    spoil(directory / f"{key}.quota")

    with pytest.raises(StateUnavailableError):
        open_again().ask(key, QUOTA, 0, EVER)


@pytest.mark.parametrize("directory", ["/proc/nothing-here", "/dev/null", "/dev/full/x"])
def test_directory_that_cannot_be_used_is_unavailable(directory: str, key: str) -> None:
    with pytest.raises(StateUnavailableError, match=directory):
        FileStore(Path(directory)).ask(key, QUOTA, 0, EVER)


def test_full_disk_is_unavailable(open_again, key: str) -> None:
    """A file size limit stands in for the full disk."""
    child = FORK.Process(target=_ask_with_full_disk, args=(open_again(), key))
    child.start()
    child.join(30)

    assert child.exitcode == 0


def _ask_with_full_disk(store: FileStore, key: str) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    with pytest.raises(StateUnavailableError):
        store.ask(key, QUOTA, 0, EVER)
    with pytest.raises(StateUnavailableError):
        store.ask(key, QUOTA, 0, EVER)


def test_deleted_directory_is_made_again(open_again, key: str, directory: Path) -> None:
    store = open_again()
    store.ask(key, QUOTA, 0, EVER)
    (directory / f"{key}.quota").unlink()
    directory.rmdir()
    with pytest.raises(StateUnavailableError):
        store.ask(key, QUOTA, 0, EVER)

    assert store.ask(key, QUOTA, 0, EVER).granted


def test_exception_inside_an_operation_changes_nothing(state: Path, directory: Path, key: str, clock) -> None:
    before = state.read_bytes()

    def interrupted() -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FileStore(directory, clock=interrupted, boot_id=lambda: bytes([1] * 16)).ask(key, QUOTA, 0, EVER)

    assert state.read_bytes() == before
    with locked(state, timeout=0.1):
        pass


class _StopsInside:
    """A clock that stops its process while the store holds the lock."""

    def __init__(self, ready) -> None:
        self.ready = ready

    def __call__(self) -> float:
        self.ready.set()
        time.sleep(60)
        return 0.0


@pytest.fixture
def holder(directory: Path, key: str, open_again):
    """A process that is inside an operation, holding the lock."""
    open_again().ask(key, QUOTA, 0, EVER)
    ready = FORK.Event()
    store = FileStore(directory, clock=_StopsInside(ready), boot_id=lambda: bytes([1] * 16))
    process = FORK.Process(target=store.ask, args=(key, QUOTA, 0, EVER))
    process.start()
    assert ready.wait(30)
    yield process
    process.kill()
    process.join(30)


def test_killed_lock_holder_leaves_a_sound_file(holder, open_again, key: str) -> None:
    os.kill(holder.pid, signal.SIGKILL)

    assert [open_again().ask(key, QUOTA, 0, EVER).granted for _ in range(5)] == [True] * 4 + [False]


def test_frozen_lock_holder_makes_the_store_unavailable(
    holder, open_again, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_module, "LOCK_TIMEOUT_SECONDS", 0.2)
    os.kill(holder.pid, signal.SIGSTOP)
    start = time.monotonic()

    with pytest.raises(StateUnavailableError, match="held its lock"):
        open_again().ask(key, QUOTA, 0, EVER)

    assert time.monotonic() - start < 10


def test_default_boot_id_is_stable_and_short() -> None:
    assert file_module._boot_id() == file_module._boot_id()
    assert len(file_module._boot_id()) == 16


def test_nothing_is_logged_in_normal_use(state: Path, open_again, key: str, caplog) -> None:
    with caplog.at_level(logging.DEBUG):
        open_again().ask(key, QUOTA, 0, EVER)

    assert caplog.messages == []
