"""nightrank: recommendations from event logs, every night.

The rooms (`feature_store`, `ranker`, `spark_jobs`, `trainer`, `pipeline`) are folders of the checkout, linked here, so that
what is installed is one package with a name of its own.
"""

from pathlib import Path
from typing import Final

IMPORT_PATH: Final = Path(__file__).resolve().parents[1]
"""The folder that must be on `PYTHONPATH` for another Python to import nightrank: a checkout, or site-packages."""
CONF: Final = Path(__file__).resolve().parent / "conf"
"""The configurations that come with nightrank."""
