"""The DAG of nightrank with the configuration of this deployment."""

from nightrank.pipeline.airflow_dag import dag

dag.params["config"] = ["/etc/nightrank/night.yaml"]
