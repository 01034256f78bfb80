"""Access tokens: how long they live, and how threads and processes share them."""

from __future__ import annotations

import json
import logging
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_qlik_assets.client import QlikResponseError
from airflow_provider_qlik_assets.client.host_state import locked
from airflow_provider_qlik_assets.client.tokens import AccessToken, TokenCache

HOUR = 3600.0


class Tenant:
    """Gives out tokens t1, t2, ... and keeps the time."""

    def __init__(self, directory: Path | None) -> None:
        self.now = 1_000_000.0
        self.given = 0
        self.told: list[str] = []
        self.directory = directory

    def request(self) -> dict[str, Any]:
        self.given += 1
        return {"access_token": f"access-token-no-{self.given}", "expires_in": 6 * HOUR}

    def cache(self, name: str = "client") -> TokenCache:
        return TokenCache(
            name,
            self.request,
            on_new_token=self.told.append,
            directory=self.directory,
            clock=lambda: self.now,
        )

    @property
    def file(self) -> Path:
        assert self.directory
        return self.directory / "token-client.json"


@pytest.fixture
def tenant(tmp_path: Path) -> Tenant:
    (tmp_path / "tokens").mkdir(mode=0o700)
    return Tenant(tmp_path / "tokens")


@pytest.mark.parametrize(
    ("reply", "renew_after"),
    [
        ({"expires_in": 3600}, 3540.0),
        ({"expires_in": 100}, 90.0),
        ({"expires_in": 1.0}, 0.9),
        ({"expires_at": "1970-01-12T14:46:40.000Z"}, 3540.0),
        ({"expires_in": 3600, "expires_at": "2030-01-01T00:00:00Z"}, 3540.0),
        ({"expires_in": "3600", "expires_at": "1970-01-12T14:46:40Z"}, 3540.0),
        ({"expires_in": None, "expires_at": None}, 6 * HOUR - 60),
        ({"expires_at": "soon"}, 6 * HOUR - 60),
        ({"expires_in": True}, 6 * HOUR - 60),
        ({"expires_in": 0}, 6 * HOUR - 60),
        ({"expires_in": -5}, 6 * HOUR - 60),
        ({"expires_in": 10**400}, 6 * HOUR - 60),
        ({"expires_at": "1960-01-01T00:00:00Z"}, 6 * HOUR - 60),
        ({"expires_in": float("nan")}, 6 * HOUR - 60),
        ({"expires_in": float("inf")}, 6 * HOUR - 60),
        ({}, 6 * HOUR - 60),
    ],
)
def test_a_token_is_renewed_before_it_expires(reply: dict[str, Any], renew_after: float) -> None:
    token = AccessToken.from_reply({"access_token": "access-token-no-0", **reply}, requested_at=1_000_000.0)

    assert token.renew_at - 1_000_000.0 == pytest.approx(renew_after)


@pytest.mark.parametrize(
    "reply",
    [None, [], "t", {}, *({"access_token": token} for token in (None, "", 5, "a\nb", "ключ", "a b", ["t"]))],
)
def test_a_reply_without_a_token_is_a_clear_error(reply: Any) -> None:
    with pytest.raises(QlikResponseError, match="answered without an access token"):
        AccessToken.from_reply(reply, requested_at=0.0)


def test_the_repr_does_not_show_the_token() -> None:
    assert "secret" not in repr(AccessToken("secret", 0.0))


def test_a_token_is_used_until_it_is_due(tenant: Tenant) -> None:
    cache = tenant.cache()

    assert cache.get() == "access-token-no-1"
    tenant.now += 6 * HOUR - 61
    assert cache.get() == "access-token-no-1"
    tenant.now += 1
    assert cache.get() == "access-token-no-2"


def test_caches_share_a_token(tenant: Tenant) -> None:
    assert [tenant.cache().get() for _ in range(3)] == ["access-token-no-1"] * 3
    assert tenant.told == ["access-token-no-1"] * 3


def test_other_credentials_do_not_get_it(tenant: Tenant) -> None:
    assert (tenant.cache().get(), tenant.cache("other").get()) == ("access-token-no-1", "access-token-no-2")


def test_a_refused_token_is_replaced_once(tenant: Tenant) -> None:
    one, two = tenant.cache(), tenant.cache()
    assert one.get() == two.get() == "access-token-no-1"

    assert one.get(refused="access-token-no-1") == "access-token-no-2"
    assert two.get(refused="access-token-no-1") == "access-token-no-2"
    assert tenant.given == 2


def test_threads_ask_once(tenant: Tenant) -> None:
    cache = tenant.cache()
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(cache.get())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert got == ["access-token-no-1"] * 16


def test_the_file_is_private(tenant: Tenant) -> None:
    tenant.cache().get()

    assert stat.S_IMODE(tenant.file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"t"',
        b"\xff\xfe",
        b"{}",
        b'{"value": "t"}',
        b'{"value": "t", "renew_at": "never"}',
        b'{"value": "t", "renew_at": null}',
        b'{"value": 5, "renew_at": 1e12}',
        b'{"value": "", "renew_at": 1e12}',
        b'{"value": "a\\nb", "renew_at": 1e12}',
        b'{"value": "t", "renew_at": 1e12, "more": 1}',
    ],
)
def test_a_corrupt_file_is_replaced(tenant: Tenant, content: bytes) -> None:
    tenant.file.write_bytes(content)
    tenant.file.chmod(0o600)

    assert tenant.cache().get() == "access-token-no-1"
    assert json.loads(tenant.file.read_bytes())["value"] == "access-token-no-1"


def test_expired_tokens_of_other_credentials_are_removed(tenant: Tenant) -> None:
    tenant.cache("rotated").get()
    tenant.now += 3 * HOUR
    tenant.cache("in-use").get()
    tenant.now += 3.5 * HOUR

    tenant.cache().get()

    assert tenant.directory
    assert sorted(path.name for path in tenant.directory.iterdir()) == [
        "token-client.json", "token-client.lock", "token-in-use.json", "token-in-use.lock",
    ]  # fmt: skip


def test_a_token_that_another_process_is_renewing_is_not_removed(tenant: Tenant) -> None:
    tenant.cache("other").get()
    tenant.now += 7 * HOUR
    assert tenant.directory

    with locked(tenant.directory / "token-other.lock"):
        tenant.cache().get()

    assert (tenant.directory / "token-other.json").exists()


def test_what_a_killed_process_left_is_removed(tenant: Tenant) -> None:
    assert tenant.directory
    orphan = tenant.directory / ".token-client.json.x1y2z3"
    orphan.write_text('{"value": "t0", "renew_at": 1}')
    os.utime(orphan, (0, 0))

    tenant.cache().get()

    assert not orphan.exists()


def unwritable(tenant: Tenant) -> None:
    tenant.directory = tenant.directory / "missing" if tenant.directory else None


def readable_for_others(tenant: Tenant) -> None:
    tenant.file.write_text('{"value": "planted", "renew_at": 1e12}')
    tenant.file.chmod(0o644)


def symbolic_link(tenant: Tenant) -> None:
    elsewhere = tenant.file.with_name("elsewhere")
    elsewhere.write_text('{"value": "planted", "renew_at": 1e12}')
    elsewhere.chmod(0o600)
    tenant.file.symlink_to(elsewhere)


@pytest.mark.parametrize("spoil", [unwritable, readable_for_others, symbolic_link])
def test_state_that_cannot_be_used_costs_one_warning(
    tenant: Tenant, spoil: Callable[[Tenant], None], caplog: pytest.LogCaptureFixture
) -> None:
    spoil(tenant)
    cache = tenant.cache()

    with caplog.at_level(logging.WARNING):
        assert [cache.get() for _ in range(3)] == ["access-token-no-1"] * 3

    assert [record.message.startswith("OAuth tokens are not shared") for record in caplog.records] == [True]


def test_an_unusable_home_costs_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    for name in ("XDG_STATE_HOME", "HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))

    assert Tenant(None).cache().get() == "access-token-no-1"
    assert len(caplog.records) == 1


def test_a_directory_that_fills_up_does_not_fail_a_request(tenant: Tenant) -> None:
    def request() -> dict[str, Any]:
        assert tenant.directory
        os.rename(tenant.directory, tenant.directory.with_name("moved"))  # noqa: PTH104
        return tenant.request()

    cache = TokenCache("client", request, directory=tenant.directory, clock=lambda: tenant.now)

    assert cache.get() == "access-token-no-1"


def test_an_error_of_the_tenant_is_raised_and_the_next_call_tries_again(tenant: Tenant) -> None:
    replies = iter([{}, {"access_token": "access-token-no-0"}])
    cache = TokenCache("client", lambda: next(replies), directory=tenant.directory)

    with pytest.raises(QlikResponseError):
        cache.get()
    assert cache.get() == "access-token-no-0"
