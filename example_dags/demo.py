"""Run the example DAGs with a real Airflow against a local Qlik tenant, and show what became of the catalog.

Everything lives in a temporary directory; an Airflow that is set up here already is neither read nor changed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from airflow_provider_qlik_assets.sandbox import Sandbox

Catalog = dict[str, dict[str, Any]]
"""Documents of data assets by technical name."""

EXAMPLES = Path(__file__).resolve().parent
SHOWN_LOGGER = "airflow.task.operators.airflow_provider_qlik_assets"
# A terminal that is narrower breaks lines, so that no table is cut.
console = Console(width=max(Console().width, 110))


def main() -> int:
    """Return 0 if every DAG run succeeded and the catalog is as expected."""
    started = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="qlik-assets-demo-") as home, Sandbox() as tenant:
        prepare_airflow(Path(home), tenant)
        params = seed(tenant, started)
        lake = {"data_store_id": seed_lake(tenant), "delete_unlisted": True}
        before = catalog(tenant)
        show("The catalog before", before, {})

        states = {"sync_catalog (only the plan)": run_dag("sync_catalog", {**lake, "only_plan": True})}
        planned = catalog(tenant)
        states["mapped_upsert"] = run_dag("mapped_upsert", params)
        other_team = threading.Thread(
            target=refresh_customers, args=(tenant, params["customers_id"]), daemon=True
        )
        other_team.start()
        states["register_and_refresh"] = run_dag("register_and_refresh", params)
        states["scheduled_clean_up"] = run_dag("scheduled_clean_up", params)
        # Run by hand, so no event triggers these and they have nothing to do.
        states["freshness_from_assets"] = run_dag("freshness_from_assets", params)
        if importlib.util.find_spec("airflow.sdk"):
            states["react_to_freshness"] = run_dag("react_to_freshness", {})
        else:
            console.rule("Not running react_to_freshness: Airflow 2 has no asset watchers")
        states["sync_catalog"] = run_dag("sync_catalog", lake)
        first = catalog(tenant)
        states["mapped_upsert (again)"] = run_dag("mapped_upsert", params)
        states["sync_catalog (again)"] = run_dag("sync_catalog", lake)
        after = catalog(tenant)

        show("The catalog after", after, before)
        problems = [f"{dag_id} ended as {state}" for dag_id, state in states.items() if state != "success"]
        problems += ["the plan alone wrote nothing"] if planned != before else []
        problems += [name for name, holds in expectations(before, first, after, started).items() if not holds]
        for problem in problems:
            console.print(f"[red]Not as expected:[/red] {problem}")
        if not problems:
            console.print("[green]Every DAG run succeeded, and the catalog is as expected.[/green]")
        return 1 if problems else 0


def prepare_airflow(home: Path, tenant: Sandbox) -> None:
    """Give Airflow a home, a database and the connection; it reads all this when it is first imported."""
    connection = {"conn_type": "qlik_cloud", "host": tenant.url, "password": tenant.api_key}
    os.environ.update(
        {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "AIRFLOW__LOGGING__NAMESPACE_LEVELS": f"py.warnings=ERROR {SHOWN_LOGGER}=INFO",
            "AIRFLOW__METRICS__TIMER_UNIT_CONSISTENCY": "True",
            "AIRFLOW_CONN_QLIK_CLOUD_DEFAULT": json.dumps(connection),
            "XDG_STATE_HOME": str(home / "state"),
            "NO_PROXY": "127.0.0.1,localhost",
            "PYTHONWARNINGS": "ignore",
        }
    )
    console.print("Preparing a temporary Airflow ...")
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )


def seed(tenant: Sandbox, now: datetime) -> dict[str, str]:
    """Fill the catalog; return the parameters for the DAGs."""
    store_id = tenant.add_store(name="warehouse")

    def add(technical_name: str, days_old: int | None, **fields: Any) -> str:
        if days_old is not None:
            fields["dataFreshness"] = (now - timedelta(days=days_old)).isoformat()
        document = tenant.add_asset(
            data_store_id=store_id, technicalName=f"dwh.{technical_name}", appType="airflow", **fields
        )
        return str(document["id"])

    add("sales.regions", 2, name="Regions", description="Written by a data steward")
    add("sales.stores", 2, name="Stores", tags=["sales"])
    customers_id = add("crm.customers", 1, name="Customers", description="Loaded by another team")
    add("sales.orders_2019_backup", 400)
    add("sales.legal_archive", 2000, tags=["keep"])
    return {"data_store_id": store_id, "customers_id": customers_id}


def seed_lake(tenant: Sandbox) -> str:
    """Fill another data store; return its id."""
    store_id = tenant.add_store(name="lake")
    tables: dict[str, dict[str, Any]] = {
        "events": {"name": "events_v2", "description": "Written by a data steward"},
        "tmp_export": {},
        "audit": {"tags": ["keep"]},
    }
    for name, fields in tables.items():
        tenant.add_asset(data_store_id=store_id, technicalName=f"lake.{name}", appType="airflow", **fields)
    return store_id


def refresh_customers(tenant: Sandbox, customers_id: str) -> None:
    """Be the other team: finish loading shortly after the sensor has looked for the first time."""
    while not tenant.journal.requests(method="GET", path=f"/api/v1/data-assets/{customers_id}"):
        time.sleep(0.2)
    time.sleep(2)
    tenant.touch(customers_id, dataFreshness=datetime.now(UTC).isoformat())


def run_dag(dag_id: str, params: dict[str, Any]) -> str:
    """Run one example DAG, its deferred tasks included; return the state of the run."""
    console.rule(f"Running {dag_id}")
    example = runpy.run_path(str(EXAMPLES / f"{dag_id}.py"))
    dag_run = example[f"{dag_id}_dag"].test(run_conf=params)
    return str(getattr(dag_run.state, "value", dag_run.state))


def catalog(tenant: Sandbox) -> Catalog:
    """Return the data assets of the tenant as they are now."""
    return {asset["technicalName"]: asset for asset in tenant.assets.values()}


def expectations(before: Catalog, first: Catalog, after: Catalog, started: datetime) -> dict[str, bool]:
    """Return what must hold at the end."""

    def version(catalog: Catalog, name: str) -> int | None:
        return catalog.get(name, {}).get("version")

    regions, orders = after.get("dwh.sales.regions", {}), after.get("dwh.sales.orders", {})
    return {
        "products is registered": version(after, "dwh.sales.products") == 0,
        "regions has its tag, and the steward's description survived": (
            regions.get("tags") == ["sales"] and regions.get("description") == "Written by a data steward"
        ),
        "stores was up to date and was not written": version(after, "dwh.sales.stores") == 0,
        "orders is registered and fresh": orders.get("dataFreshness", "")
        >= started.strftime("%Y-%m-%dT%H:%M:%S"),
        "customers was only written by the other team": version(after, "dwh.crm.customers") == 1,
        "the stale backup is gone": "dwh.sales.orders_2019_backup" not in after,
        "what was tagged 'keep' is still there": "dwh.sales.legal_archive" in after,
        "events has its name, and keeps its description": (
            after.get("lake.events", {}).get("name") == "Events"
            and after["lake.events"].get("description") == "Written by a data steward"
        ),
        "sessions and devices are registered": (
            version(after, "lake.sessions") == version(after, "lake.devices") == 0
        ),
        "what the YAML file does not list is gone": "lake.tmp_export" not in after,
        "what is protected is still there": "lake.audit" in after,
        "nothing else was deleted": before.keys() - after.keys()
        == {"dwh.sales.orders_2019_backup", "lake.tmp_export"},
        "the second runs of mapped_upsert and sync_catalog wrote nothing": after == first,
    }


def show(title: str, assets: Catalog, before: Catalog) -> None:
    """Print the catalog as a table, with what happened to each data asset since before."""
    table = Table(title=title)
    table.add_column("technical name", no_wrap=True)
    if before:
        table.add_column("what happened", overflow="fold")
    table.add_column("version", overflow="fold")
    table.add_column("fresh as of (UTC)", no_wrap=True)
    for column in ("tags", "description"):
        table.add_column(column, overflow="fold")
    for name in sorted(assets.keys() | before.keys()):
        asset = assets.get(name, {})
        fields = [
            str(asset.get("version", "")),
            short(asset.get("dataFreshness")),
            ", ".join(asset.get("tags") or []),
            asset.get("description") or "",
        ]
        table.add_row(name, *([what_happened(before.get(name), asset)] if before else []), *fields)
    console.print(table)


def what_happened(old: dict[str, Any] | None, new: dict[str, Any]) -> str:
    """Return in words what became of a data asset; ``new`` is empty if it was deleted."""
    if not new:
        return "[red]deleted[/red]"
    if old is None:
        return "[green]created[/green]"
    if old["version"] == new["version"]:
        return "not written"
    words = []
    for field, word in {"name": "name", "dataFreshness": "freshness", "tags": "tags"}.items():
        if old.get(field) != new.get(field):
            words.append(f"{word} {'changed' if old.get(field) else 'added'}")
    if new.get("description"):
        words.append(f"description {'kept' if old.get('description') == new['description'] else 'changed'}")
    return ", ".join(words)


def short(instant: str | None) -> str:
    """Return an instant to the minute."""
    return f"{datetime.fromisoformat(instant):%Y-%m-%d %H:%M}" if instant else ""


if __name__ == "__main__":
    sys.exit(main())
