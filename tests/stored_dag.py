"""Put a Dag into Airflow's database, each version's way."""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_qlik_assets._compat import DAG


def store(dag: DAG) -> None:
    """Put a Dag into the database, without which Airflow does not run it from 3.1 on."""
    for home in ("airflow.dag_processing.dagbag", "airflow.models.dagbag"):
        module = importlib.import_module(home) if importlib.util.find_spec(home) else None
        if hasattr(module, "sync_bag_to_db"):
            break
    else:  # Airflow 2.11 and 3.0
        return
    from airflow.dag_processing.bundles.manager import DagBundlesManager  # noqa: PLC0415

    bag = module.DagBag(dag_folder=os.devnull)
    bag.bag_dag(dag)
    DagBundlesManager().sync_bundles_to_db()
    module.sync_bag_to_db(bag, "dags-folder", None)
