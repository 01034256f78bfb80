"""What has changed in the catalog: a feed of changes, and what waits for them; without Airflow and HTTP."""
