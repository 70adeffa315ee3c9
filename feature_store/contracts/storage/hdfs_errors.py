"""What HDFS answers, as one of our errors. The client's and Spark's texts both carry the name nodes' own exception names."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from nightrank.feature_store.contracts.errors import ConfigError, DependencyUnreachable, NightrankError

DENIED: Final = re.compile(r"AccessControlException|Permission denied: user=")
UNKNOWN: Final = re.compile(r"SASL|Kerberos|GSS|AuthenticationException|Client cannot authenticate", re.I)
FULL: Final = re.compile(r"QuotaExceeded|could only be written to 0 of the [1-9]\d* minReplication nodes\. There are [1-9]")
NO_NODES: Final = re.compile(r"No NameNode hosts found|Unknown.?Host|failed to lookup address", re.I)
AWAY: Final = re.compile(
    r"SafeMode|StandbyException|Retriable|ConnectException|failed on connection|Connection (?:refused|reset)|timed? ?out|"
    r"There are 0 datanode|No available datanode|unexpected end of file|early eof|broken pipe|Operation failed",
    re.I,
)
RIGHTS: Final = "give this user the right (hdfs dfs -chown, -setfacl); it is Kerberos' principal or HADOOP_USER_NAME"


class NoAnswer(DependencyUnreachable):
    """The file system did not answer, or is not ready: a change may have happened or not."""


def fault_in(address: str, text: str) -> NightrankError | None:
    """The fault of HDFS that a text tells of; None where it tells of something else."""
    if DENIED.search(text):
        return ConfigError(f"{address} does not allow this: {_short(text)}", RIGHTS)
    if UNKNOWN.search(text):
        return ConfigError(f"{address} does not know this user: {_short(text)}", "run kinit; HADOOP_CONF_DIR names the cluster")
    if FULL.search(text):
        return ConfigError(f"{address} has no room: {_short(text)}", "make room, or raise the quota of the folder")
    if NO_NODES.search(text):
        remedy = "write hdfs://host:port/folder, or a name that HADOOP_CONF_DIR/hdfs-site.xml knows"
        return ConfigError(f"{address} has no name node: {_short(text)}", remedy)
    if AWAY.search(text):
        return NoAnswer(f"{address} does not answer: {_short(text)}", "try again when it does")
    return None


@contextmanager
def explained(address: str, key: str) -> Iterator[None]:
    """Absent and existing files pass through; any other fault is a ConfigError (2), or NoAnswer (8)."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"{address}/{key}") from None
    except FileExistsError:
        raise
    except (OSError, RuntimeError) as error:
        fault = fault_in(address, str(error))
        raise fault or NoAnswer(f"{address} fails for {key}: {_short(str(error))}", "see the name node's log") from None


def _short(text: str) -> str:
    """The first words: behind them is a stack of Java."""
    return " ".join(text.split("\\n")[0].split("\n")[0].split())[:200]
