"""Settings that cannot be used: nothing that a tool records of the error holds a secret."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from airflow_provider_qlik_assets.client import (
    ApiKey,
    OAuthPrivateKey,
    QlikCloudClient,
    QlikCloudError,
    QlikConfigurationError,
)
from airflow_provider_qlik_assets.client.host_state import StateUnavailableError
from airflow_provider_qlik_assets.client.rate_limit.open_store import check_store, open_store
from tests.client.known_secrets import (
    API_KEY,
    CLIENT_SECRET,
    PROXY_USER,
    REDIS_PASSWORD,
    Interrupted,
    check,
    interrupted_after,
    lines_of,
    pem,
)
from tests.clients import Connect

# --- proxies ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "proxy", [f"http://{PROXY_USER}@", f"http://{PROXY_USER}@[::1", f"{PROXY_USER}@h:1", f"x://{PROXY_USER}@h"]
)  # fmt: skip
@pytest.mark.parametrize("variable", [False, True])
def test_an_address_that_is_no_proxy_reveals_nothing(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, proxy: str, variable: bool
) -> None:
    proxies: Any = {"https": proxy}
    if variable:
        proxies = None
        monkeypatch.setenv("https_proxy", proxy)
        monkeypatch.delenv("no_proxy")
        monkeypatch.delenv("NO_PROXY")
    for call in (
        lambda: connect("https://t.example", proxies=proxies).me(),
        lambda: connect("https://t.example", proxies=proxies).server_now(),
        lambda: QlikCloudClient("https://t.example", ApiKey(API_KEY)).with_options(proxies={"https": proxy}),
    ):
        with pytest.raises(QlikConfigurationError) as raised:
            call()
        check(raised.value)


def test_a_socks_proxy_without_its_package_reveals_nothing(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "socks", None)
    with pytest.raises(QlikConfigurationError) as raised:
        connect("https://t.example", proxies={"https": f"socks5://{PROXY_USER}@127.0.0.1:1"}).me()
    check(raised.value)


# --- credentials that cannot be used ---------------------------------------------------------------------


@pytest.mark.parametrize("form", ["{}\n", " {}", "{} x", "{}ü", "{}\0"])
def test_an_impossible_api_key_reveals_nothing(form: str) -> None:
    with pytest.raises(QlikConfigurationError) as raised:
        ApiKey(form.format(API_KEY))
    check(raised.value)


KEYS: dict[str, Callable[[], str]] = {
    "cut": lambda: pem()[:400],
    "without its frame": lambda: "\n".join(lines_of(pem())),
    "damaged": lambda: pem().replace("A", "!"),
    "swapped": lambda: pem().replace("MII", "IIM", 1),
    "surrogates": lambda: pem() + "\udc80",
    "not ASCII": lambda: f"ü{pem()[5:]}",
    "null": lambda: pem().replace("\n", "\0"),
    "encrypted": lambda: pem("encrypted"),
    "short": lambda: pem("short"),
    "other": lambda: pem("other"),
    "of another name": lambda: pem().replace("PRIVATE", "RSA PRIVATE"),
    "secret": lambda: CLIENT_SECRET,
}


@pytest.mark.parametrize("key", KEYS)
def test_a_private_key_that_cannot_be_used_reveals_nothing(connect: Connect, key: str) -> None:
    text = KEYS[key]()
    client = connect(auth=OAuthPrivateKey("client", text, "kid"))
    # The oldest cryptography reads that one all the same, and the tenant does not know the key.
    expected = QlikCloudError if key == "of another name" else QlikConfigurationError
    with pytest.raises(expected) as raised:
        client.me()
    check(raised.value, more=tuple(lines_of(text)))


def test_a_public_key_is_no_private_key_and_reveals_nothing(connect: Connect) -> None:
    key = rsa.generate_private_key(65537, 2048).public_key()
    text = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(QlikConfigurationError) as raised:
        connect(auth=OAuthPrivateKey("client", text, "kid")).me()
    check(raised.value, more=tuple(lines_of(text)))


# --- the store of the rate limit -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rest", ["@h:port/0", "@h:0", "@h/x", "@h?ssl_keyfile=x", "@[::1", "@", "@h#x", "@h?password=x"]
)
def test_a_store_that_cannot_be_used_reveals_nothing(rest: str) -> None:
    url = f"redis://user:{REDIS_PASSWORD}{rest}"
    for use in (open_store, lambda url: QlikCloudClient("https://t", ApiKey(API_KEY), rate_limit_store=url)):
        with pytest.raises(QlikConfigurationError) as raised:
            use(url)
        check(raised.value)


REDIS_ANSWERS = {
    "echo": lambda request: b"-ERR " + b" ".join(request.split()) + b"\r\n",
    "not Redis": lambda request: b"HTTP/1.1 400 " + b" ".join(request.split()) + b"\r\n\r\n",
    "none": lambda request: b"",
}


@contextlib.contextmanager
def redis_that_answers(answer: Callable[[bytes], bytes]) -> Iterator[int]:
    def run() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(5)
                    if said := answer(connection.recv(65536)):
                        connection.sendall(said * 5)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("answer", REDIS_ANSWERS)
def test_a_store_that_fails_reveals_nothing(answer: str) -> None:
    with redis_that_answers(REDIS_ANSWERS[answer]) as port:
        store = open_store(f"redis://user:{REDIS_PASSWORD}@127.0.0.1:{port}/0")
        with pytest.raises(StateUnavailableError) as raised:
            check_store(store)
    check(raised.value)


def test_an_interrupt_of_a_store_reveals_nothing(silent: int) -> None:
    url = f"redis://user:{REDIS_PASSWORD}@127.0.0.1:{silent}/0"
    client = QlikCloudClient("http://127.0.0.1:1", ApiKey(API_KEY), rate_limit_store=url)
    for call in (client.me, lambda: check_store(open_store(url))):
        with pytest.raises(Interrupted) as raised, interrupted_after(0.3):
            call()
        check(raised.value)
