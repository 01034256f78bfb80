"""Private state files: who may use them, how they are locked, and that nothing waits for ever."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
import time
from pathlib import Path

import pytest

from airflow_provider_qlik_assets.client.host_state import (
    StateUnavailableError,
    default_state_directory,
    locked,
    private_directory,
    read_private,
    remove_orphans,
    replace_private,
)

FORK = multiprocessing.get_context("fork")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return private_directory(tmp_path / "state")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory and a temporary directory of the test's own."""
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "home"


def test_default_is_below_the_home_directory(home: Path) -> None:
    assert default_state_directory() == home / ".local/state/airflow-provider-qlik-assets"


def test_xdg_state_home_moves_it(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))

    assert default_state_directory() == tmp_path / "xdg/airflow-provider-qlik-assets"


def test_relative_xdg_state_home_is_ignored(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "somewhere")

    assert default_state_directory().is_relative_to(home)


@pytest.mark.parametrize("unusable", ["a file in its place", "read-only", "writable for others"])
def test_unusable_home_leads_to_a_directory_named_after_the_user(home: Path, unusable: str) -> None:
    if unusable == "a file in its place":
        (home / ".local").write_text("")
    elif unusable == "read-only":
        if os.geteuid() == 0:
            pytest.skip("root may write to a read-only directory")
        home.chmod(0o500)
    else:
        default_state_directory().chmod(0o777)

    directory = default_state_directory()

    assert directory == home.parent / f"tmp/airflow-provider-qlik-assets-{os.geteuid()}"
    assert directory.stat().st_mode & 0o777 == 0o700


def test_nothing_usable_is_an_error(home: Path) -> None:
    (home / ".local").write_text("")
    (home.parent / f"tmp/airflow-provider-qlik-assets-{os.geteuid()}").write_text("")

    with pytest.raises(StateUnavailableError, match="not a directory"):
        default_state_directory()


def test_directory_is_created_for_the_owner_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        directory = private_directory(tmp_path / "a" / "b")
    finally:
        os.umask(old)

    assert directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("umask", [0, 0o022, 0o777])
def test_parents_are_created_for_the_owner_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        directory = private_directory(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(old)

    for created in (directory, *directory.parents[:2]):
        assert created.stat().st_mode & 0o777 == 0o700


def test_parents_that_are_there_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home").chmod(0o755)

    private_directory(tmp_path / "home" / "state")

    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o755


def test_directory_others_can_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o770)

    with pytest.raises(StateUnavailableError, match="other users can write"):
        private_directory(tmp_path / "open")


def test_directory_others_can_read_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "shown").mkdir(mode=0o755)

    assert private_directory(tmp_path / "shown") == tmp_path / "shown"


@as_root
def test_directory_of_somebody_else_is_refused(directory: Path) -> None:
    os.chown(directory, 12345, 12345)

    with pytest.raises(StateUnavailableError, match="belongs to user id 12345"):
        private_directory(directory)


def test_symlinked_directory_is_refused(directory: Path) -> None:
    link = directory.parent / "link"
    link.symlink_to(directory)

    with pytest.raises(StateUnavailableError, match="symbolic links"):
        private_directory(link)


def test_directory_on_a_file_system_that_refuses_is_an_error() -> None:
    with pytest.raises(StateUnavailableError, match=r"/proc/nothing-here cannot be used: "):
        private_directory(Path("/proc/nothing-here"))


def test_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(StateUnavailableError("/somewhere", "of a reason")))

    assert (error.path, error.reason, str(error)) == (
        "/somewhere",
        "of a reason",
        "/somewhere cannot be used: of a reason",
    )


def test_locked_file_is_created_private(directory: Path) -> None:
    with locked(directory / "file") as fd:
        os.pwrite(fd, b"text", 0)

    assert (directory / "file").read_bytes() == b"text"
    assert (directory / "file").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("use", [lambda path: locked(path).__enter__(), read_private], ids=["locked", "read"])
class TestUnsafeFile:
    def test_symlink(self, directory: Path, use) -> None:
        (directory / "target").touch(mode=0o600)
        (directory / "file").symlink_to(directory / "target")

        with pytest.raises(StateUnavailableError, match="symbolic link"):
            use(directory / "file")

    def test_readable_for_others(self, directory: Path, use) -> None:
        (directory / "file").touch(mode=0o644)

        with pytest.raises(StateUnavailableError, match="other users can read or write"):
            use(directory / "file")

    @as_root
    def test_of_somebody_else(self, directory: Path, use) -> None:
        (directory / "file").touch(mode=0o600)
        os.chown(directory / "file", 12345, 12345)

        with pytest.raises(StateUnavailableError, match="belongs to user id 12345"):
            use(directory / "file")

    def test_named_pipe(self, directory: Path, use) -> None:
        os.mkfifo(directory / "file", 0o600)

        with pytest.raises(StateUnavailableError, match="not a regular file"):
            use(directory / "file")


def _open_descriptors() -> set[str]:
    """Return the targets of this process's descriptors."""
    return {str(path.readlink()) for path in Path("/dev/fd/").resolve().iterdir() if path.is_symlink()}


def test_refused_file_leaves_no_descriptor_open(directory: Path) -> None:
    (directory / "file").touch(mode=0o644)

    with pytest.raises(StateUnavailableError), locked(directory / "file"):
        pass

    assert str(directory / "file") not in _open_descriptors()


def test_missing_file_reads_as_none(directory: Path) -> None:
    assert read_private(directory / "file") is None


def test_replaced_file_reads_back_and_is_private(directory: Path) -> None:
    replace_private(directory / "file", b"old")
    replace_private(directory / "file", b"new")

    assert read_private(directory / "file") == b"new"
    assert (directory / "file").stat().st_mode & 0o777 == 0o600


def test_failed_replacement_leaves_nothing_behind(directory: Path) -> None:
    (directory / "file").mkdir()

    with pytest.raises(StateUnavailableError):
        replace_private(directory / "file", b"new")

    assert [path.name for path in directory.iterdir()] == ["file"]


def test_replacement_in_a_missing_directory_is_an_error(directory: Path) -> None:
    with pytest.raises(StateUnavailableError, match="No such file or directory"):
        replace_private(directory / "missing" / "file", b"new")


def _count(path: Path, times: int) -> None:
    for _ in range(times):
        with locked(path, timeout=60) as fd:
            value = int(os.pread(fd, 20, 0) or b"0")
            os.pwrite(fd, b"%20d" % (value + 1), 0)


def test_threads_and_processes_exclude_each_other(directory: Path) -> None:
    workers = [
        kind(target=_count, args=(directory / "file", 200))
        for kind in (FORK.Process, threading.Thread)
        for _ in range(4)
    ]

    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    assert int((directory / "file").read_bytes()) == 1600


def _hold(path: Path, ready) -> None:
    with locked(path):
        ready.set()
        time.sleep(60)


@pytest.fixture
def holder(directory: Path):
    """A process that holds the lock of ``file``."""
    ready = FORK.Event()
    process = FORK.Process(target=_hold, args=(directory / "file", ready))
    process.start()
    assert ready.wait(30)
    yield process
    process.kill()
    process.join(30)


def test_lock_of_a_killed_holder_is_free(directory: Path, holder) -> None:
    os.kill(holder.pid, signal.SIGKILL)

    with locked(directory / "file", timeout=30):
        holder.join(30)
        assert holder.exitcode == -signal.SIGKILL


def test_frozen_holder_blocks_no_longer_than_the_time_out(directory: Path, holder) -> None:
    os.kill(holder.pid, signal.SIGSTOP)
    start = time.monotonic()

    with (
        pytest.raises(StateUnavailableError, match="has held its lock for"),
        locked(directory / "file", timeout=0.2),
    ):
        pass

    assert 0.2 <= time.monotonic() - start < 10


def _wait_for_lock(path: Path, results) -> None:
    start = time.monotonic()
    try:
        with locked(path, timeout=3.0):
            results.put(("locked", time.monotonic() - start))
    except StateUnavailableError:
        results.put(("unavailable", time.monotonic() - start))


def test_frozen_holder_is_waited_for_once_and_not_by_every_process(directory: Path, holder) -> None:
    os.kill(holder.pid, signal.SIGSTOP)
    results = FORK.Queue()

    def run() -> tuple[str, float]:
        waiter = FORK.Process(target=_wait_for_lock, args=(directory / "file", results))
        waiter.start()
        waiter.join(30)
        return results.get(timeout=30)

    first, *later = (run() for _ in range(4))
    assert first[0] == "unavailable"
    assert first[1] >= 3.0
    assert {outcome for outcome, _ in later} == {"unavailable"}
    assert all(seconds < 2.4 for _, seconds in later)

    os.kill(holder.pid, signal.SIGKILL)
    holder.join(30)
    assert run()[0] == "locked"


def test_holder_that_goes_on_is_waited_for_again(directory: Path) -> None:
    _freeze = threading.Event()

    def hold(seconds: float) -> threading.Thread:
        def run() -> None:
            with locked(directory / "file"):
                _freeze.set()
                time.sleep(seconds)

        _freeze.clear()
        thread = threading.Thread(target=run)
        thread.start()
        assert _freeze.wait(30)
        return thread

    thread = hold(0.5)
    with pytest.raises(StateUnavailableError), locked(directory / "file", timeout=0.1):
        pass
    thread.join(30)
    thread = hold(0.05)
    with locked(directory / "file", timeout=30):  # waits, briefly, and finds that it is not stuck any more
        pass
    thread.join(30)
    thread = hold(0.5)
    with locked(directory / "file", timeout=30):
        pass
    thread.join(30)


def test_what_killed_writers_left_is_removed_after_an_hour(directory: Path) -> None:
    for name, age in {".file.abc": 4000, ".file.new": 10, "file.stuck": 4000, "file": 4000}.items():
        (directory / name).touch(mode=0o600)
        os.utime(directory / name, (time.time() - age,) * 2)

    remove_orphans(directory)

    assert sorted(path.name for path in directory.iterdir()) == [".file.new", "file"]


def test_child_forked_inside_the_lock_does_not_keep_it(directory: Path) -> None:
    with locked(directory / "file"):
        child = FORK.Process(target=time.sleep, args=(60,))
        child.start()
    try:
        with locked(directory / "file", timeout=5):
            assert child.is_alive()
    finally:
        child.kill()
        child.join(30)


def test_waiter_gets_the_file_that_replaced_the_one_it_waited_for(directory: Path) -> None:
    waiting = threading.Event()
    seen = []

    def wait() -> None:
        waiting.set()
        with locked(directory / "file", timeout=30) as fd:
            seen.append(os.pread(fd, 10, 0))

    with locked(directory / "file"):
        waiter = threading.Thread(target=wait)
        waiter.start()
        waiting.wait(30)
        time.sleep(0.05)
        replace_private(directory / "file", b"new")
    waiter.join(30)

    assert seen == [b"new"]
