"""The DAG's assets name every table of the catalogue, which Airflow's environment cannot import."""

from nightrank.feature_store.contracts.tables import CATALOGUE
from nightrank.pipeline.dag.tables import TABLES_OF
from nightrank.pipeline.stages import STAGES


def test_every_table_of_the_catalogue_is_an_asset_of_one_stage() -> None:
    assert sorted(table for tables in TABLES_OF.values() for table in tables) == sorted(CATALOGUE)
    assert TABLES_OF.keys() <= {stage.name for stage in STAGES}
