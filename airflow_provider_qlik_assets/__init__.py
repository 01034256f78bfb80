"""Apache Airflow provider for the data assets of the Qlik Cloud catalog."""

__version__ = "0.1.0"
