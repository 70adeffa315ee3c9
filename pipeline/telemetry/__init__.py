"""What other systems are told of a run: metrics for Prometheus, lineage for OpenLineage, log lines as JSON."""
