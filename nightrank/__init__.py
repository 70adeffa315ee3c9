"""nightrank: recommendations from event logs, every night.

    fitted = nightrank.fit(events, root="lake")    # a pandas DataFrame or an Arrow table, or a lake's folder
    nightrank.recommend(fitted, users=["u17"])
    nightrank.evaluate(fitted)

The rooms (`feature_store`, `ranker`, `spark_jobs`, `trainer`, `pipeline`) are folders of the checkout, linked here, so that
what is installed is one package with a name of its own. This file imports the standard library alone: it is copied into
models, and `import nightrank` loads nothing before a function is used.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from nightrank.pipeline.api import Fitted, evaluate, fit, recommend

__all__ = ["CONF", "IMPORT_PATH", "Fitted", "evaluate", "fit", "recommend"]

IMPORT_PATH: Final = Path(__file__).resolve().parents[1]
"""The folder that must be on `PYTHONPATH` for another Python to import nightrank: a checkout, or site-packages."""
CONF: Final = Path(__file__).resolve().parent / "conf"
"""The configurations that come with nightrank."""
_API: Final = ("Fitted", "evaluate", "fit", "recommend")


def __getattr__(name: str) -> Any:
    if name in _API:
        from importlib import import_module

        return getattr(import_module("nightrank.pipeline.api"), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("nightrank")
    raise AttributeError(f"module 'nightrank' has no attribute {name!r}")
