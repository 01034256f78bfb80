"""The control API under ``/sandbox``, which offers the Python class to other processes."""

from collections.abc import Callable
from typing import Annotated, Literal
from urllib.parse import unquote

from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from airflow_provider_qlik_assets.sandbox.api import refused
from airflow_provider_qlik_assets.sandbox.controls import Controls
from airflow_provider_qlik_assets.sandbox.documents import Document
from airflow_provider_qlik_assets.sandbox.errors import SandboxError
from airflow_provider_qlik_assets.sandbox.faults import Fault
from airflow_provider_qlik_assets.sandbox.identity import FULL_ACCESS
from airflow_provider_qlik_assets.sandbox.settings import SandboxSettings

# Swagger UI must not send descriptions to its online validator.
DOCUMENTATION = {"validatorUrl": None}


class QuotaUse(BaseModel):
    """Quota that another program of the same user uses."""

    model_config = ConfigDict(extra="forbid")

    tier: Literal[1, 2]
    requests: int = Field(ge=1)
    user_id: str = FULL_ACCESS.id


class PublicKey(BaseModel):
    """A public key of the OAuth client."""

    model_config = ConfigDict(extra="forbid")

    key_id: str
    pem: str


def control_api(sandbox: Controls) -> FastAPI:
    """Build the application that is mounted at ``/sandbox``.

    It requires the sandbox's control token, which :mod:`~airflow_provider_qlik_assets.sandbox.access` checks.
    """
    app = FastAPIOffline(
        title="Control of the Qlik Cloud sandbox",
        description=_description(),
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(HTTPBearer(auto_error=False, description="the control_token"))],
        swagger_ui_parameters=DOCUMENTATION,
    )
    app.add_exception_handler(SandboxError, refused)

    @app.get("/state")
    async def state() -> dict[str, dict[str, Document]]:
        """Return all data by id; unset fields are absent."""
        return {"assets": sandbox.assets, "stores": sandbox.stores}

    @app.post("/stores", status_code=201)
    async def add_store(fields: Document) -> dict[str, str]:
        """Add a data store."""
        return {"id": sandbox.add_store(**fields)}

    @app.post("/assets", status_code=201)
    async def add_assets(assets: list[Document]) -> list[Document]:
        """Add data assets, in order; ``data_store_id`` is short for ``dataStoreInfo``."""
        return [sandbox.add_asset(**fields) for fields in assets]

    @app.patch("/assets/{asset_id}")
    async def touch(asset_id: str, fields: Document) -> Document:
        """Change a data asset as another user would."""
        return sandbox.touch(unquote(asset_id), **fields)

    @app.get("/settings")
    async def settings() -> SandboxSettings:
        """Return the switches."""
        return sandbox.settings

    @app.patch("/settings")
    async def change_settings(changes: Document) -> SandboxSettings:
        """Change some switches, all or none."""
        try:
            changed = SandboxSettings.model_validate({**sandbox.settings.model_dump(), **changes})
        except ValidationError as invalid:
            raise HTTPException(422, invalid.errors(include_url=False, include_context=False)) from None
        sandbox.settings.take_over(changed)
        return sandbox.settings

    @app.get("/faults")
    async def faults() -> list[Fault]:
        """Return the faults that may still occur."""
        return sandbox.faults

    @app.post("/faults", status_code=204)
    async def add_fault(fault: Fault) -> None:
        """Add a fault."""
        sandbox.add_fault(fault)

    @app.get("/journal")
    async def journal(method: str | None = None, path: str | None = None) -> list[Document]:
        """Return the requests, all or those of a method and path."""
        return [entry.as_json() for entry in sandbox.journal.requests(method, path)]

    @app.get("/journal/busiest-window")
    async def busiest_window(tier: Annotated[int, Query(ge=1, le=2)], seconds: float) -> int:
        """Return the most requests of one user and tier in any rolling window."""
        return sandbox.journal.busiest_window(tier, seconds)

    @app.post("/quota", status_code=204)
    async def consume_quota(use: QuotaUse) -> None:
        """Use quota as another program of the same user would."""
        sandbox.consume_quota(use.tier, use.requests, use.user_id)

    @app.post("/public-keys", status_code=204)
    async def register_public_key(key: PublicKey) -> None:
        """Let the OAuth client sign token requests."""
        try:
            sandbox.register_public_key(key.key_id, key.pem)
        except ValueError as unfit:
            raise HTTPException(422, str(unfit)) from None

    _without_body(app, "DELETE", "/faults", sandbox.clear_faults)
    _without_body(app, "DELETE", "/journal", sandbox.journal.clear)
    _without_body(app, "DELETE", "/tokens", sandbox.revoke_tokens)
    _without_body(app, "POST", "/reset", sandbox.reset)
    return app


def _description() -> str:
    """Return the switches as the page shows them above all else."""
    switches = [
        f"| `{name}` | `{field.default!r}` | {field.description} |"
        for name, field in SandboxSettings.model_fields.items()
    ]
    head = ["The switches of `/settings`:", "", "| switch | default | |", "| --- | --- | --- |"]
    return "\n".join([*head, *switches])


def _without_body(app: FastAPI, method: str, path: str, action: Callable[[], None]) -> None:
    async def endpoint() -> None:
        action()

    endpoint.__name__, endpoint.__doc__ = action.__name__, action.__doc__
    app.add_api_route(path, endpoint, methods=[method], status_code=204)
