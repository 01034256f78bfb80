"""Store URLs: what is accepted, and that nothing of a refused one is repeated."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from airflow_provider_qlik_assets.client.errors import QlikConfigurationError
from airflow_provider_qlik_assets.client.rate_limit.ledger import Quota
from airflow_provider_qlik_assets.client.rate_limit.open_store import open_store

QUOTA = Quota(permits=5, window=60.0)


@pytest.fixture(autouse=True)
def _home_of_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory:", "the memory of this process"),
        ("file:///srv/state", "file:///srv/state"),
        ("file:///srv/my%20state/", "file:///srv/my state"),
        ("redis://localhost", "redis://localhost:6379"),
        ("redis://user:s3cret@host:6380/2", "redis://host:6380/2"),
        ("rediss://:s3cret@host/0?ssl_cert_reqs=none", "rediss://host:6379/0"),
        ("rediss://host?ssl_ca_certs=/etc/ca.pem", "rediss://host:6379"),
    ],
)
def test_accepted(url: str, shown: str) -> None:
    assert str(open_store(url)) == shown


def test_default_is_the_directory_of_this_user(tmp_path: Path) -> None:
    assert str(open_store()) == f"file://{tmp_path}/airflow-provider-qlik-assets"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s3cret",
        "memory",
        "memory:s3cret",
        "memory://",
        "file:",
        "file://",
        "file:///",
        "file://s3cret/directory",
        "file:relative/s3cret",
        "file:///directory?s3cret",
        "file:///directory#s3cret",
        "file:///direc%00tory",
        "redis:",
        "redis://",
        "redis://:s3cret@/0",
        "redis://:s3cret@host:port",
        "redis://:s3cret@host:0",
        "redis://:s3cret@host/name",
        "redis://:s3cret@host/0/1",
        "redis://:s3cret@host#0",
        "redis://:s3cret@host?ssl_cert_reqs=none",
        "redis://:s3cret@host?db=1",
        "rediss://:s3cret@host?password=other",
        "rediss://:s3cret@host?ssl_no_such_option=1",
        "redis://:s3cret@[host",
        "postgresql://user:s3cret@host/db",
        "s3cret:something@host",
        "airflow-connection:s3cret",
    ],
)
def test_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(QlikConfigurationError, match="rate_limit_store") as caught:
        open_store(url)

    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("url", ["memory:", "file:///srv/state", "redis://localhost"])
def test_clients_of_a_process_share_a_store(url: str) -> None:
    assert open_store(url) is open_store(url)


def test_missing_redis_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "airflow_provider_qlik_assets.client.rate_limit.redis", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)

    with pytest.raises(QlikConfigurationError, match=r"airflow-provider-qlik-assets\[redis\]"):
        open_store("redis://a-host-without-redis-py")


def test_unusable_home_and_temporary_directory_lead_to_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, key: str
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    store = open_store()
    for _ in range(3):
        store.ask(key, QUOTA, 0, 1e9)

    assert len(caplog.messages) == 1
    assert "the memory of this process" in caplog.messages[0]


def test_redis_that_is_away_leads_to_the_directory_of_this_user(tmp_path: Path, key: str) -> None:
    assert open_store("redis://127.0.0.1:1").ask(key, QUOTA, 0, 1e9).granted

    assert (tmp_path / "airflow-provider-qlik-assets" / f"{key}.quota").exists()
