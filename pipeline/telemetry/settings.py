"""Section `operations` of the configuration. Nothing in it changes what a run makes."""

from typing import Literal

from nightrank.feature_store.contracts.config import FrozenConfig


class OperationsConfig(FrozenConfig):
    """What other systems are told of a run."""

    prometheus_file: str | None = None
    """A file for the text collector of Prometheus' node exporter, replaced whole when a run ends; its name ends in `.prom`."""
    openlineage: str | None = None
    """Where OpenLineage events of each stage go: an address of a server, or a file to which a line is added for each."""
    openlineage_namespace: str = "nightrank"
    """The namespace of the jobs in OpenLineage."""
    log_format: Literal["text", "json"] = "text"
    """Lines of a run's logs: text, or one JSON object each with time, run, stage and, for a training worker, rank."""
