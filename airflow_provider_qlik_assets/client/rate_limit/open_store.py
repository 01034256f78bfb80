"""Open the store that a URL names: memory, files of this host, or Redis."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from airflow_provider_qlik_assets.client.error_frames import clears_variables
from airflow_provider_qlik_assets.client.errors import QlikConfigurationError
from airflow_provider_qlik_assets.client.host_state import StateUnavailableError, default_state_directory
from airflow_provider_qlik_assets.client.rate_limit.fallback import FallbackStore
from airflow_provider_qlik_assets.client.rate_limit.file import FileStore
from airflow_provider_qlik_assets.client.rate_limit.memory import MemoryStore
from airflow_provider_qlik_assets.client.rate_limit.store import Store

_TLS_OPTIONS = {"ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"}


@clears_variables
def open_store(url: str | None = None) -> Store:
    """Return the store of a URL; all clients of a process that use the same URL share it.

    An unavailable store never fails a request. Until it is available again, Redis is replaced by the default
    directory of this host, and a directory by the memory of this process. This function does not connect or
    create anything.

    :param url: ``file:///directory``, ``redis://…`` or ``rediss://…`` (where needed, with redis-py's
        ``ssl_ca_certs``, ``ssl_cert_reqs``, ``ssl_certfile``, ``ssl_check_hostname`` and ``ssl_keyfile`` in
        its query), or ``memory:``; ``None`` for this user's own directory on this host.
    :raises QlikConfigurationError: if the URL is not one of these. The message does not quote it, because it
        may contain a password.
    """
    if url is None:
        return _file_store(_default_directory())
    if url == "memory:":
        return _memory_store()
    try:
        parts = urlsplit(url)
        port_given = parts.port is not None
    except ValueError:
        raise _invalid("it is not a URL") from None
    if parts.scheme == "file":
        directory = Path(unquote(parts.path))
        is_plain = not (parts.netloc or parts.query or parts.fragment or "\0" in str(directory))
        if not is_plain or not directory.is_absolute() or directory == directory.parent:
            raise _invalid("file:// must be followed by an absolute directory and nothing else")
        return _file_store(directory)
    if parts.scheme in {"redis", "rediss"}:
        if not parts.hostname or (port_given and not parts.port):
            raise _invalid("it has no host, or its port is 0")
        if not re.fullmatch(r"(/\d*)?", parts.path) or parts.fragment:
            raise _invalid("only a database number may follow the host")
        options = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
        if options - (_TLS_OPTIONS if parts.scheme == "rediss" else set()):
            raise _invalid(f"it may only have the options {', '.join(sorted(_TLS_OPTIONS))}, with rediss://")
        return _redis_store(url)
    raise _invalid("its scheme is not supported")


def check_store(store: Store) -> None:
    """Check that a store can be used now, and is not replaced by one that fewer processes share.

    :raises StateUnavailableError: if it cannot be used; the message contains no password.
    """
    if isinstance(store, FallbackStore):
        store.check()


def _invalid(reason: str) -> QlikConfigurationError:
    return QlikConfigurationError(
        f"rate_limit_store cannot be used: {reason}. Set it to file:///directory, "
        "redis://host:port/database, rediss://…, airflow-connection:<conn id> or memory:."
    )


def _default_directory() -> Path:
    try:
        return default_state_directory()
    except StateUnavailableError as error:
        # The store fails the same way, logs it, and is replaced by the memory of this process.
        return Path(error.path)


@functools.cache
def _memory_store() -> Store:
    return MemoryStore()


@functools.cache
def _file_store(directory: Path) -> Store:
    return FallbackStore(FileStore(directory), _memory_store())


@functools.cache
def _redis_store(url: str) -> Store:
    try:
        from airflow_provider_qlik_assets.client.rate_limit.redis import RedisStore  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "redis":
            raise
        raise QlikConfigurationError(
            "rate_limit_store is a Redis URL, but Redis support is not installed: "
            "pip install 'airflow-provider-qlik-assets[redis]'."
        ) from None
    try:
        store = RedisStore(url)
    except (TypeError, ValueError):
        raise _invalid("redis-py does not accept its options") from None
    return FallbackStore(store, _file_store(_default_directory()))
