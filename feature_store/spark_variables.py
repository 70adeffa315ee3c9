"""Spark properties whose values are in the environment: `${env:NAME}`, as in Spark's own files, but never left as it stands."""

import os
import re
from collections.abc import Mapping
from typing import Final

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.secrets import REFERENCE

SECRET: Final = "spark.authenticate.secret"
MAKES_SECRETS: Final = re.compile(r"local(\[[^\]]*\])?|yarn|k8s:.*")
"""Masters under which Spark makes a secret for each application. A given one would only be copied around."""


def resolved(extra: Mapping[str, str], master: str | None, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """`spark.extra` with every `${env:NAME}` replaced. ConfigError names the variables that are not set.

    `spark.authenticate.secret` is left out under a master that makes its own.
    """
    environ = os.environ if environ is None else environ
    own = MAKES_SECRETS.fullmatch(master or "") is not None
    wanted = {key: value for key, value in extra.items() if not (key == SECRET and own and REFERENCE.fullmatch(value))}
    missing = sorted({name for value in wanted.values() for name in REFERENCE.findall(value) if not environ.get(name)})
    if missing:
        keys = [key for key, value in wanted.items() if set(REFERENCE.findall(value)) & set(missing)]
        raise ConfigError(
            f"spark.extra: {', '.join(keys)} need {', '.join(missing)}, which the environment does not have",
            "set it for the process that starts the run; a name that looks like a secret must begin with NIGHTRANK_ or SPARK_, "
            "or be listed in trainer.environment",
        )
    return {key: REFERENCE.sub(lambda found: environ[found[1]], value) for key, value in wanted.items()}
