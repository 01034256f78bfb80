"""Direct access to a tenant for tests: inspect it, fill it, change it, break it."""

import copy
import secrets
from typing import Any

from airflow_provider_qlik_assets.sandbox.documents import Document
from airflow_provider_qlik_assets.sandbox.faults import Fault, Faults
from airflow_provider_qlik_assets.sandbox.identity import FULL_ACCESS
from airflow_provider_qlik_assets.sandbox.journal import Journal
from airflow_provider_qlik_assets.sandbox.settings import SandboxSettings
from airflow_provider_qlik_assets.sandbox.tenant import ASSET, STORE, Tenant


class Controls:
    """The handles to the state of a tenant.

    :param settings: the switches; :attr:`settings` is a copy that may be changed at any time.
    :param seed: of the random numbers behind a fault's ``probability``.
    """

    def __init__(self, settings: SandboxSettings | None = None, *, seed: int = 0) -> None:
        self._initial = (settings or SandboxSettings()).model_copy()
        self.settings = self._initial.model_copy()
        self.journal = Journal()
        self._control_token = secrets.token_urlsafe(32)
        self._tenant = Tenant(self.settings)
        self._faults = Faults(seed)

    @property
    def api_key(self) -> str:
        """API key of a user who may do everything."""
        return self._tenant.identity.api_key

    @property
    def read_only_api_key(self) -> str:
        """API key of a user whose writes are rejected with 403."""
        return self._tenant.identity.read_only_api_key

    @property
    def client_id(self) -> str:
        """Id of the OAuth client."""
        return self._tenant.identity.client_id

    @property
    def client_secret(self) -> str:
        """Secret of the OAuth client."""
        return self._tenant.identity.client_secret

    @property
    def control_token(self) -> str:
        """Bearer token that the control API requires from other processes."""
        return self._control_token

    def register_public_key(self, key_id: str, pem: str | bytes) -> None:
        """Let the OAuth client request tokens with a JWT signed by the private key.

        :param key_id: the JWT's ``kid``.
        :param pem: public key: RSA of at least 2048 bits or elliptic curve P-384.
        :raises ValueError: for any other key.
        """
        with self._tenant.lock:
            self._tenant.identity.register_public_key(key_id, pem)

    def revoke_tokens(self) -> None:
        """Make every OAuth token invalid; API keys stay valid."""
        with self._tenant.lock:
            self._tenant.identity.revoke_tokens()

    @property
    def assets(self) -> dict[str, Document]:
        """A deep copy of all data assets by id; unset fields are absent."""
        return self._tenant.snapshot(ASSET)

    @property
    def stores(self) -> dict[str, Document]:
        """A deep copy of all data stores by id; unset fields are absent."""
        return self._tenant.snapshot(STORE)

    def add_store(self, **fields: Any) -> str:
        """Add a data store, bypassing authentication, quota and journal.

        :param fields: API names, the read-only ones, ``id`` and ``version`` included; ``technicalName`` is
            the name, ``type`` is ``"sandbox"`` unless given.
        :return: its id.
        """
        given = {"type": "sandbox", "technicalName": fields.get("name") or "store", **fields}
        key: str = self._tenant.seed(STORE, given)["id"]
        return key

    def add_asset(self, data_store_id: str | None = None, **fields: Any) -> Document:
        """Add a data asset, bypassing authentication, quota and journal.

        A natural key that another asset has is accepted, whatever the switch says.

        :param data_store_id: an existing store.
        :param fields: API names, the read-only ones, ``id`` and ``version`` included; ``appType`` is
            ``"sandbox"`` unless given.
        :return: the stored document.
        """
        given = {"appType": "sandbox", **fields}
        if data_store_id is not None:
            given["dataStoreInfo"] = {"id": data_store_id}
        return copy.deepcopy(self._tenant.seed(ASSET, given))

    def touch(self, asset_id: str, **fields: Any) -> Document:
        """Change a data asset as another user would: increases ``version`` and ``lastModifiedTime``.

        :param fields: API names; ``None`` unsets. ``lastModifiedTime`` is now unless given.
        :return: the stored document.
        """
        return copy.deepcopy(self._tenant.touch(ASSET, asset_id, fields))

    def add_fault(self, fault: Fault) -> None:
        """Add a fault after the existing ones."""
        self._faults.add(fault)

    @property
    def faults(self) -> list[Fault]:
        """The faults that may still occur."""
        return self._faults.pending()

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def consume_quota(self, tier: int, requests: int, user_id: str = FULL_ACCESS.id) -> None:
        """Use quota as another program of the same user would.

        :param tier: 1 (reads) or 2 (writes and token requests).
        :param user_id: as in :attr:`JournalEntry.user`; the full-access user unless given.
        """
        with self._tenant.lock:
            self._tenant.quota.consume(user_id, tier, requests)

    def reset(self) -> None:
        """Return to the initial state: the first settings, and no data, faults, tokens or journal."""
        with self._tenant.lock:
            self.settings.take_over(self._initial)
            self._tenant.clear()
            self._faults.clear()
            self.journal.clear()
