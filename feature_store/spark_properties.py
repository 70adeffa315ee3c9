"""Spark's settings in a file that only this user can read: every user of the machine can read a command line."""

import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.secrets import PARTS, looks_secret

ARGUMENTS: Final = "PYSPARK_SUBMIT_ARGS"
FLAG: Final = "--properties-file"
WITH_DEFAULTS: Final = "--load-spark-defaults"
"""Beside FLAG: spark-defaults.conf is still read."""
ON_THE_COMMAND_LINE: Final = ("spark.driver.extraJavaOptions", "spark.driver.defaultJavaOptions")
"""Settings that Spark itself turns into arguments of the JVM."""
ESCAPES: Final = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f"})


def check_arguments(options: Mapping[str, str]) -> None:
    """ConfigError for a secret in a setting that Spark puts on the JVM's command line."""
    for key in ON_THE_COMMAND_LINE:
        words = shlex.split(options.get(key, ""), posix=False)
        if any(looks_secret(word.partition("=")[0]) or PARTS.search(word) for word in words if "=" in word):
            raise ConfigError(
                f"{key} looks like it holds a secret, and Spark puts it on the JVM's command line, where all users can read it",
                "give it in a file that the option names, or as a setting of its own under spark.hadoop.",
            )


@contextmanager
def handed_over(options: Mapping[str, str]) -> Iterator[None]:
    """Inside, a JVM that pyspark starts takes `options` from a file of mode 0600, which is gone afterwards.

    Arguments that the environment holds for it stay, and so does spark-defaults.conf.
    """
    before = os.environ.get(ARGUMENTS)
    arguments = shlex.split(before) if before is not None else ["pyspark-shell"]
    theirs = ""
    if FLAG in arguments:
        at = arguments.index(FLAG)
        theirs = Path(arguments[at + 1]).read_text() + "\n"
        del arguments[at : at + 2]
    with private_file(options, theirs) as path:
        os.environ[ARGUMENTS] = shlex.join([FLAG, str(path), WITH_DEFAULTS, *arguments])
        try:
            yield
        finally:
            if before is None:
                del os.environ[ARGUMENTS]
            else:
                os.environ[ARGUMENTS] = before


@contextmanager
def private_file(options: Mapping[str, str], before: str = "") -> Iterator[Path]:
    """A properties file of mode 0600 with the lines `before` and then `options`; it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="nightrank-") as folder:
        path = Path(folder) / "spark.properties"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(before + as_properties(options))
        yield path


def as_properties(options: Mapping[str, str]) -> str:
    """As java.util.Properties reads them: `key=value`, one a line."""
    return "".join(f"{_key(key)}={_value(value)}\n" for key, value in options.items())


def _key(text: str) -> str:
    escaped = text.translate(ESCAPES)
    return "".join(f"\\{sign}" if sign in " :=#!" else sign for sign in escaped)


def _value(text: str) -> str:
    escaped = text.translate(ESCAPES)
    return f"\\{escaped}" if escaped.startswith(" ") else escaped
