"""What ingest would say of the landing files of a run, before the run begins."""

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.landing_days import landing_days
from nightrank.feature_store.contracts.landing_files import REMEDY, SCHEMAS, faults
from nightrank.pipeline.run.request import RunRequest


def check_landing_files(request: RunRequest) -> None:
    """DataContractError that names every landing file of the run which breaks its contract. Only footers are read."""
    found = [fault for kind in SCHEMAS for fault in faults(request.lake, kind, landing_days(request, kind))]
    if found:
        raise DataContractError("; ".join(found), REMEDY)
