"""TLS, certificates, proxies and the environment's settings for them."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from airflow_provider_qlik_assets.client import (
    QlikConfigurationError,
    QlikConnectionError,
    RetryPolicy,
)
from tests.clients import Connect

ONCE = RetryPolicy(max_retries=0)
ME = b'{"id": "me"}'

Reply = Callable[..., bytes]
Serve = Callable[..., Any]
Certify = Callable[[x509.GeneralName], tuple[Path, Callable[[socket.socket], socket.socket]]]

HERE = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


@pytest.fixture
def certify(tmp_path: Path) -> Certify:
    """Make a self-signed certificate for a name: its file, and what gives TLS with it to a socket."""

    def make(name: x509.GeneralName) -> tuple[Path, Callable[[socket.socket], socket.socket]]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test of the client")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([name]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        public, private = tmp_path / "certificate.pem", tmp_path / "key.pem"
        public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(public, private)
        return public, lambda sock: context.wrap_socket(sock, server_side=True)

    return make


def test_an_untrusted_certificate_is_a_wrong_configuration(
    connect: Connect, serve: Serve, reply: Reply, certify: Certify
) -> None:
    server = serve(lambda request: reply(ME), wrap=certify(HERE)[1])

    with pytest.raises(QlikConfigurationError, match="the certificate of the host is not trusted") as caught:
        connect(f"https://127.0.0.1:{server.port}").me()

    assert "set the extra 'verify' to the path of its CA bundle" in str(caught.value)
    assert server.received == []


def test_a_certificate_for_another_name_is_not_trusted(
    connect: Connect, serve: Serve, reply: Reply, certify: Certify
) -> None:
    bundle, wrap = certify(x509.DNSName("elsewhere.example"))
    server = serve(lambda request: reply(ME), wrap=wrap)

    with pytest.raises(
        QlikConfigurationError, match=r"the certificate of the host is not trusted \(IP address mismatch"
    ):
        connect(f"https://127.0.0.1:{server.port}", verify=str(bundle)).me()


def test_a_certificate_of_the_given_bundle_is_trusted(
    connect: Connect, serve: Serve, reply: Reply, certify: Certify
) -> None:
    bundle, wrap = certify(HERE)
    server = serve(lambda request: reply(ME), wrap=wrap)

    assert connect(f"https://127.0.0.1:{server.port}", verify=str(bundle)).me() == {"id": "me"}


def test_a_directory_of_certificates_may_be_given(
    connect: Connect, serve: Serve, reply: Reply, certify: Certify, tmp_path: Path
) -> None:
    server = serve(lambda request: reply(ME), wrap=certify(HERE)[1])
    (tmp_path / "empty").mkdir()

    with pytest.raises(QlikConfigurationError, match="the certificate of the host is not trusted"):
        connect(f"https://127.0.0.1:{server.port}", verify=str(tmp_path / "empty")).me()


def test_the_environment_may_name_the_bundle(
    connect: Connect, serve: Serve, reply: Reply, certify: Certify, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, wrap = certify(HERE)
    server = serve(lambda request: reply(ME), wrap=wrap)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))

    assert connect(f"https://127.0.0.1:{server.port}").me() == {"id": "me"}


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_certificates_need_not_be_verified(
    connect: Connect, serve: Serve, reply: Reply, certify: Certify
) -> None:
    server = serve(lambda request: reply(ME), wrap=certify(HERE)[1])

    assert connect(f"https://127.0.0.1:{server.port}", verify=False).me() == {"id": "me"}


UNVERIFIED = """
import logging, sys, warnings
from airflow_provider_qlik_assets.client import ApiKey, QlikCloudClient, QlikConnectionError, RetryPolicy
logging.basicConfig(format="%(message)s")
for url in sys.argv[1:]:
    client = QlikCloudClient(url, ApiKey("s3cret"), verify=False, retry=RetryPolicy(max_retries=0))
    try:
        client.me()
    except QlikConnectionError:
        pass
"""


@pytest.mark.parametrize(
    ("urls", "times"),
    [(["https://127.0.0.1:1", "https://127.0.0.1:1", "https://localhost:1"], 1), (["http://127.0.0.1:1"], 0)],
)
def test_a_process_says_once_what_it_means_not_to_verify(urls: list[str], times: int) -> None:
    command = [sys.executable, "-c", UNVERIFIED, *urls]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)

    assert done.stderr.count("'verify' is false: TLS certificates are not checked") == times
    assert "s3cret" not in done.stderr


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_bundle_that_cannot_be_used_is_a_wrong_configuration(
    *, connect: Connect, serve: Serve, reply: Reply, certify: Certify, tmp_path: Path, content: str | None
) -> None:
    server = serve(lambda request: reply(ME), wrap=certify(HERE)[1])
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)

    with pytest.raises(QlikConfigurationError, match=r"bundle\.pem"):
        connect(f"https://127.0.0.1:{server.port}", verify=str(bundle)).me()


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bundle_of_the_environment_that_cannot_be_used_names_the_variable(
    *,
    connect: Connect,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    content: str | None,
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(variable, str(bundle))

    with pytest.raises(QlikConfigurationError, match=rf"environment variable {variable} .*bundle\.pem"):
        connect("https://127.0.0.1:1").me()


def no_tls(sock: socket.socket) -> socket.socket:
    """Answer the first bytes of TLS in clear text."""
    sock.recv(1)
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    return sock


def test_a_host_that_does_not_speak_tls_is_a_connection_error(
    connect: Connect, serve: Serve, reply: Reply
) -> None:
    server = serve(lambda request: reply(ME), wrap=no_tls)

    address = f"127.0.0.1:{server.port}"
    with pytest.raises(QlikConnectionError, match=f"{address} does not use https there") as caught:
        connect(f"https://{address}", retry=ONCE).me()
    assert "use http:// in the host" in str(caught.value)


def test_a_port_with_tls_is_named_when_http_is_spoken_to_it(
    connect: Connect, serve: Serve, reply: Reply, certify: Certify
) -> None:
    server = serve(lambda request: reply(ME), wrap=certify(HERE)[1])

    with pytest.raises(QlikConnectionError, match="If the port expects TLS, use https:// in the host"):
        connect(server.url, retry=ONCE).me()


def test_a_host_name_that_does_not_exist_is_named(connect: Connect) -> None:
    with pytest.raises(QlikConnectionError, match="the host name cannot be resolved") as caught:
        connect("https://tenant.invalid", retry=ONCE).me()
    assert "Check the host for typos, then the DNS settings of this machine." in str(caught.value)
    assert not caught.value.request_sent


@pytest.mark.parametrize("source", ["given", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_nothing_for_this_machine_goes_to_a_proxy(
    connect: Connect, serve: Serve, reply: Reply, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """Without TLS, it would read the credentials."""
    proxy, tenant = serve(lambda request: reply(b"{}")), serve(lambda request: reply(ME))
    if source != "given":
        monkeypatch.delenv("no_proxy")
        monkeypatch.delenv("NO_PROXY")
        monkeypatch.setenv(source, proxy.url)
    proxies = {"http": proxy.url, "all": proxy.url} if source == "given" else None

    assert connect(tenant.url, proxies=proxies).me() == {"id": "me"}
    assert tenant.received[0].startswith(b"GET /api/v1/users/me ")
    assert proxy.received == []


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_the_environment_sends_nothing_for_this_machine_to_a_proxy(
    *,
    connect: Connect,
    serve: Serve,
    reply: Reply,
    certify: Certify,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    bundle, wrap = certify(HERE)
    proxy, tenant = serve(lambda request: reply()), serve(lambda request: reply(ME), wrap=wrap)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv(variable, proxy.url)

    assert connect(f"https://127.0.0.1:{tenant.port}", verify=str(bundle)).me() == {"id": "me"}
    assert proxy.received == []


def test_https_goes_through_a_tunnel_of_the_proxy(connect: Connect, serve: Serve, reply: Reply) -> None:
    proxy = serve(lambda request: reply(status="403 Forbidden"))

    with pytest.raises(QlikConnectionError, match="no connection through the proxy") as caught:
        connect("https://t.example", proxies={"https": proxy.url}, retry=ONCE).me()

    assert "it answered 403 Forbidden" in str(caught.value)
    assert "Check 'proxies'" in str(caught.value)
    assert proxy.received[0].startswith(b"CONNECT t.example:443 ")
    assert b"sandbox-key" not in proxy.received[0]


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_socks_proxy_is_used(
    connect: Connect, serve: Serve, reply: Reply, certify: Certify, scheme: str
) -> None:
    def take(sock: socket.socket) -> socket.socket:
        """Do what a SOCKS proxy does, which is to be the tenant from then on."""
        sock.recv(3)
        sock.sendall(b"\x05\x00")
        asked.append(sock.recv(300))
        sock.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50")
        return wrap(sock)

    asked: list[bytes] = []
    bundle, wrap = certify(x509.DNSName("localhost"))
    proxy = serve(lambda request: reply(ME), wrap=take)
    proxies = {"https": f"{scheme}://127.0.0.1:{proxy.port}"}

    assert connect("https://localhost:4430", proxies=proxies, verify=str(bundle)).me() == {"id": "me"}
    assert asked[0].startswith(b"\x05\x01\x00")
    assert asked[0].endswith((4430).to_bytes(2, "big"))


def test_a_socks_proxy_needs_another_package(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socks", None)

    with pytest.raises(QlikConfigurationError, match=r"'proxies' names a SOCKS proxy, .* install PySocks"):
        connect("https://t.example", proxies={"https": "socks5://127.0.0.1:1"}).me()


@pytest.mark.parametrize("variable", [None, "HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_that_asks_for_credentials_is_named_and_not_asked_again(
    connect: Connect, serve: Serve, reply: Reply, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    proxy = serve(lambda request: reply(status="407 Proxy Authentication Required"))
    url = f"http://user:pa55@127.0.0.1:{proxy.port}"
    source, proxies = "'proxies'", {"https": url}
    if variable is not None:
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv(variable, url)
        source, proxies = f"the environment variable {variable}", {}

    with pytest.raises(QlikConfigurationError, match=r"requires credentials") as caught:
        connect("https://t.example", proxies=proxies or None).me()

    assert f"the proxy 127.0.0.1:{proxy.port} " in str(caught.value)
    assert f"Set them in {source}, as http://user:password@127.0.0.1:{proxy.port}." in str(caught.value)
    assert "pa55" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert len(proxy.received) == 1


def test_a_proxy_that_is_away_is_a_clear_error_without_its_password(connect: Connect) -> None:
    with pytest.raises(QlikConnectionError, match="no connection through the proxy") as caught:
        connect("https://t.example", proxies={"https": "http://user:pa55@127.0.0.1:1"}, retry=ONCE).me()

    assert not caught.value.request_sent
    assert "pa55" not in f"{caught.value!r}"


def test_the_credentials_of_a_proxy_are_sent_to_it_and_not_shown_if_it_repeats_them(
    connect: Connect, serve: Serve, reply: Reply
) -> None:
    credentials = base64.b64encode(b"user:proxy-pass-1").decode()
    proxy = serve(lambda request: reply(status=f"403 not with {credentials}"))
    proxies = {"https": f"http://user:proxy-pass-1@127.0.0.1:{proxy.port}"}

    with pytest.raises(QlikConnectionError, match=r"it answered 403 not with \*\*\*\)"):
        connect("https://t.example", proxies=proxies, retry=ONCE).me()

    assert f"Proxy-Authorization: Basic {credentials}".encode() in proxy.received[0]


@pytest.mark.parametrize(
    "proxy",
    [
        "http://user:pa55@",
        "http://user:pa55@host:port",
        "http://user:pa55@[::1",
        "user:pa55@host:3128",
        "localhost:3128",
        "pa55://host",
        "http://",
    ],
)
def test_an_address_that_is_no_proxy_is_a_wrong_configuration(connect: Connect, proxy: str) -> None:
    with pytest.raises(QlikConfigurationError, match="proxies") as caught:
        connect("https://t.example", proxies={"https": proxy}, retry=ONCE).me()

    assert "pa55" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_proxies_of_the_environment_are_read_once(
    connect: Connect, serve: Serve, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, other = (serve(lambda request: reply(status="403 Forbidden")) for _ in range(2))
    monkeypatch.setenv("https_proxy", proxy.url)
    client = connect("https://t.example", retry=ONCE)
    with pytest.raises(QlikConnectionError, match="it answered 403"):
        client.me()
    monkeypatch.setenv("https_proxy", other.url)

    with pytest.raises(QlikConnectionError, match="it answered 403"):
        client.me()

    assert (len(proxy.received), len(other.received)) == (2, 0)


def test_no_proxy_of_the_environment_is_heeded(
    connect: Connect, serve: Serve, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(lambda request: reply())
    monkeypatch.setenv("https_proxy", proxy.url)
    monkeypatch.setenv("no_proxy", "tenant.invalid")

    with pytest.raises(QlikConnectionError, match="the host name cannot be resolved"):
        connect("https://tenant.invalid", retry=ONCE).me()
    assert proxy.received == []
