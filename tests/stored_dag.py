"""Put a Dag into Airflow's database, each version's way."""

from __future__ import annotations

import importlib
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_qlik_assets._compat import DAG


def store(dag: DAG) -> None:
    """Do what the Dag processor does with a Dag; for Airflow 2, it is not needed.

    Airflow 3.0 would take its assets for inactive, and later versions would not run it.
    """
    if find_spec("airflow.dag_processing.bundles") is None:  # Airflow 2
        return
    from airflow.dag_processing.bundles.manager import DagBundlesManager  # noqa: PLC0415

    since_3_2 = "airflow.dag_processing.dagbag"
    module = importlib.import_module(since_3_2 if find_spec(since_3_2) else "airflow.models.dagbag")
    bag = module.DagBag(dag_folder=os.devnull)
    bag.bag_dag(dag)
    DagBundlesManager().sync_bundles_to_db()
    if hasattr(module, "sync_bag_to_db"):
        module.sync_bag_to_db(bag, "dags-folder", None)
    else:  # Airflow 3.0
        dag.relative_fileloc = Path(dag.fileloc).name  # as if it was read from its file
        bag.sync_to_db("dags-folder", None)
