"""Around what Spark does with a lake in a bucket: the bucket's faults as ours (`faults` knows them)."""

from collections.abc import Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException

from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.object_storage.faults import fault_of


@contextmanager
def explained(place: Location) -> Iterator[None]:
    """Inside, a fault of the bucket that `place` is in is a ConfigError (2) or DependencyUnreachable (8); others pass."""
    try:
        yield
    except (Py4JJavaError, PySparkException, OSError) as error:
        fault = fault_of(place, error)
        if fault is None:
            raise
        raise fault from error
