"""What the "Test" button and ``airflow connections test`` say."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from airflow_provider_qlik_assets._compat import Connection
from airflow_provider_qlik_assets.hooks import qlik_cloud
from airflow_provider_qlik_assets.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox

SetConnection = Callable[..., str]


@pytest.fixture(scope="module")
def tls_tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Run a server with a certificate that nobody knows; give its address and the certificate."""
    directory = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    (directory / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), WhoAmI) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}", directory / "cert.pem"
        server.shutdown()
        thread.join()


class WhoAmI(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"id": "user-1", "tenantId": "tenant-1", "name": "Me"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


def test_test_connection_names_user_and_tenant(hook: QlikCloudHook, qlik_sandbox: Sandbox) -> None:
    user = hook.get_conn().me()

    succeeded, message = hook.test_connection()

    assert succeeded
    assert qlik_sandbox.url in message
    assert user["name"] in message
    assert user["tenantId"] in message


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"password": "not-a-known-key"}, "401"),
        ({"password": None}, "The credentials are missing"),
        ({"host": "http://tenant.eu.qlikcloud.com"}, "clear text"),
        ({"host": "https://tenant.invalid"}, "tenant.invalid"),
        ({"host": "http://127.0.0.1:9"}, "127.0.0.1:9"),
        ({"extra": {"retries": 1}}, "did you mean 'max_retries'?"),
        ({"extra": {"rate_limit_store": "airflow-connection:missing"}}, "missing"),
    ],
)
def test_test_connection_says_what_to_fix(
    fields: dict[str, Any], hint: str, qlik_sandbox: Sandbox, set_connection: SetConnection
) -> None:
    conn_id = set_connection(**{"host": qlik_sandbox.url, "password": qlik_sandbox.api_key, **fields})

    succeeded, message = QlikCloudHook(conn_id).test_connection()

    assert not succeeded
    assert hint in message


def test_test_connection_reports_a_missing_connection() -> None:
    succeeded, message = QlikCloudHook("no_such_connection").test_connection()

    assert not succeeded
    assert "no_such_connection" in message


HTML = {"Content-Type": "text/html"}
JSON = {"Content-Type": "application/json"}
PAGE = b"<!DOCTYPE html><html><body>Welcome to the intranet</body></html>"
# An answer to a request for a token may hold one.
OF_A_TOKEN_REQUEST = {
    "Welcome to the intranet": f"{len(PAGE)} characters, not shown",
    "Who are you?": "12 characters, not shown",
    "NOT-1 No such page": "NOT-1",
}


@pytest.mark.parametrize("login", [None, "client-1"], ids=["API key", "OAuth"])
@pytest.mark.parametrize(
    ("status", "body", "headers", "seen"),
    [
        (404, b"", {}, "answered 404"),
        (404, PAGE, HTML, "Welcome to the intranet"),
        (404, b'{"detail": "Not Found"}', JSON, "answered 404"),
        (404, b'{"errors": [{"code": "NOT-1", "title": "No such page"}]}', JSON, "NOT-1 No such page"),
        (405, b"", {}, "answered 405"),
        (401, b"Who are you?", {}, "Who are you?"),
        (403, PAGE, HTML, "Welcome to the intranet"),
        (200, PAGE, HTML, "Welcome to the intranet"),
        (200, b"[1, 2]", JSON, "answer"),
        (200, b'{"status": "ok"}', JSON, "answer"),
        (200, b"", {}, "answer"),
        (302, b"", {"Location": "https://login.example/?next=/"}, "login.example"),
        (302, b"", {"Location": "/login"}, "redirected"),
        (301, b"", {}, ""),
        (303, PAGE, HTML, "answered 303"),
    ],
)
def test_a_host_that_is_no_tenant_is_called_so(
    *,
    answering: Callable[..., str],
    set_connection: SetConnection,
    status: int,
    body: bytes,
    headers: dict[str, str],
    seen: str,
    login: str | None,
) -> None:
    url = answering(status, body, headers)
    conn_id = set_connection(host=url, login=login, password="secret-123456")

    succeeded, message = QlikCloudHook(conn_id).test_connection()

    assert not succeeded
    assert message.startswith(f"{url} is not a Qlik Cloud tenant: ")
    assert (OF_A_TOKEN_REQUEST.get(seen, seen) if login else seen) in message
    assert "Set the host to the tenant's own, such as your-tenant.eu.qlikcloud.com" in message
    assert "Check the id" not in message
    assert "secret-123456" not in message


def test_https_to_a_port_without_tls_says_why(qlik_sandbox: Sandbox, set_connection: SetConnection) -> None:
    host = qlik_sandbox.url.replace("http:", "https:")
    conn_id = set_connection(host=host, password=qlik_sandbox.api_key)

    succeeded, message = QlikCloudHook(conn_id).test_connection()

    assert not succeeded
    assert "does not use https there" in message
    assert "use http:// in the host" in message


def test_http_to_a_port_with_tls_says_why(
    tls_tenant: tuple[str, Path], set_connection: SetConnection
) -> None:
    conn_id = set_connection(host=tls_tenant[0].replace("https:", "http:"), password="key-123456")

    succeeded, message = QlikCloudHook(conn_id).test_connection()

    assert not succeeded
    assert "If the port expects TLS, use https:// in the host." in message


def test_a_host_name_that_does_not_exist_is_said(set_connection: SetConnection) -> None:
    conn_id = set_connection(host="tenant.invalid", password="key-123456")

    succeeded, message = QlikCloudHook(conn_id).test_connection()

    assert not succeeded
    assert "the host name cannot be resolved" in message


def test_a_missing_key_file_is_shown(set_connection: SetConnection) -> None:
    extra = {"private_key_path": "/opt/keys/qlik-key.pem", "key_id": "key-1"}
    conn_id = set_connection(host="tenant.invalid", login="client-1", extra=extra)
    # As Airflow itself does on the way to a worker or into the database.
    _ = Connection(conn_id="other", conn_type="qlik_cloud", extra=json.dumps(extra)).extra_dejson

    succeeded, message = QlikCloudHook(conn_id).test_connection()

    assert not succeeded
    assert "'qlik-key.pem' in '/opt/keys'" in message
    assert "***" not in message


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_missing_bundle_of_the_environment_names_the_variable(
    variable: str, set_connection: SetConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(variable, "/no/such/bundle.pem")
    conn_id = set_connection(host="tenant.invalid", password="key-123456")

    succeeded, message = QlikCloudHook(conn_id).test_connection()

    assert not succeeded
    assert f"The environment variable {variable} names a CA bundle that does not exist" in message
    assert "/no/such/bundle.pem" in message


# --- certificates, proxies, time-outs --------------------------------------------------------------------


def test_test_connection_explains_an_unknown_certificate(
    tls_tenant: tuple[str, Path], set_connection: SetConnection
) -> None:
    url, _ = tls_tenant
    conn_id = set_connection(host=url, password="key-123456")

    succeeded, message = QlikCloudHook(conn_id).test_connection()

    assert not succeeded
    assert "the certificate of the host is not trusted (self-signed certificate)" in message
    assert "'verify'" in message


@pytest.mark.parametrize("bundle", [True, False], ids=["bundle", "unverified"])
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_verify_of_the_connection_is_obeyed(
    bundle: bool, tls_tenant: tuple[str, Path], set_connection: SetConnection
) -> None:
    url, certificate = tls_tenant
    verify = str(certificate) if bundle else False
    conn_id = set_connection(host=url, password="key-123456", extra={"verify": verify})

    assert QlikCloudHook(conn_id).test_connection()[0]


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        (
            "http://me:proxy-pass-1@127.0.0.1:9",
            "no connection through the proxy 127.0.0.1:9 (from 'proxies')",
        ),
        ("me:proxy-pass-1@127.0.0.1:9", "'proxies' is not a valid proxy address"),
    ],
)
def test_proxy_of_the_connection_is_used(set_connection: SetConnection, proxy: str, shown: str) -> None:
    conn_id = set_connection(
        host="t.example",
        password="key-123456",
        extra={"proxies": {"https": proxy}},
    )

    succeeded, message = QlikCloudHook(conn_id).test_connection()

    assert not succeeded
    assert shown in message
    assert "proxy-pass-1" not in message


@pytest.mark.parametrize(
    ("fault", "hint"),
    [
        (Fault(kind="status", status=403), "403"),
        (Fault(kind="html", status=200), "html"),
        (Fault(kind="status", status=503, times=None), "503"),
        (Fault(kind="status", status=429, headers={"Retry-After": "120"}, times=None), "429"),
        (Fault(kind="drop", times=None), "127.0.0.1"),
    ],
)
def test_test_connection_reports_an_error_at_once(
    fault: Fault, hint: str, hook: QlikCloudHook, qlik_sandbox: Sandbox
) -> None:
    qlik_sandbox.add_fault(fault)
    started = time.monotonic()

    succeeded, message = hook.test_connection()

    assert not succeeded
    assert hint in message.lower()
    assert len(qlik_sandbox.journal.requests(path="/api/v1/users/me")) == 1
    assert time.monotonic() - started < 5


def test_test_connection_does_not_wait_for_a_slow_tenant(
    hook: QlikCloudHook, qlik_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qlik_cloud, "_TEST_TIMEOUT_SECONDS", (0.5, 0.5))
    qlik_sandbox.add_fault(Fault(kind="delay", seconds=30))
    started = time.monotonic()

    succeeded, _ = hook.test_connection()

    assert not succeeded
    assert time.monotonic() - started < 5


def test_test_connection_does_not_wait_for_the_rate_limit(
    qlik_sandbox: Sandbox, set_connection: SetConnection
) -> None:
    conn_id = set_connection(host=qlik_sandbox.url, password=qlik_sandbox.api_key, extra={"tier1_limit": 1})
    hook = QlikCloudHook(conn_id)

    assert hook.test_connection()[0]
    succeeded, message = hook.test_connection()

    assert not succeeded
    assert "max_rate_limit_wait" in message


def test_a_proxy_that_asks_for_credentials_is_named(
    answering: Callable[..., str], set_connection: SetConnection
) -> None:
    proxy = answering(407, b"", {}).replace("http://", "http://me:proxy-pass-1@")
    conn_id = set_connection(
        host="https://127.0.0.1:1", password="key-123456", extra={"proxies": {"https": proxy}}
    )

    succeeded, message = QlikCloudHook(conn_id).test_connection()

    assert not succeeded
    assert "requires credentials" in message
    assert "'proxies'" in message
    assert "proxy-pass-1" not in message
