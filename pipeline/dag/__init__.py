"""The DAG for Airflow 3, made from the list of stages. Optional: nothing else of nightrank imports Airflow."""
