"""What an exit code of nightrank means to Airflow."""

from collections.abc import Mapping
from typing import Any, Final

from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

SKIPPED: Final = 3
"""Nothing landed, or the run has no such stage."""
FINAL: Final = {
    2: "wrong use or configuration",
    4: "a file or table breaks its contract",
    7: "the gate rejected the challenger, and the champion made the lists; or the day is held back",
    9: "refused: it would lose data that is still in use",
}
"""Trying again would come to the same."""
RETRIED: Final = {
    5: "another run works on the lake, or a newer attempt has taken this one's place",
    6: "a training rank stalled or was lost",
    8: "a service did not answer",
}
"""Trying again, later, may help: the task goes on where it stood."""


def raise_for(code: int, body: Mapping[str, Any]) -> None:
    """Nothing for 0. Else AirflowSkipException, AirflowFailException (no retry) or AirflowException (retry), with the message
    and the remedy that nightrank gave."""
    if code == 0:
        return
    if code == SKIPPED:
        raise AirflowSkipException(_words(body) or "nothing to do")
    if code in FINAL:
        raise AirflowFailException(f"exit code {code}: {_words(body) or FINAL[code]}")
    raise AirflowException(f"exit code {code}: {_words(body) or RETRIED.get(code, 'unexpected; see the lines above')}")


def _words(body: Mapping[str, Any]) -> str:
    error = body.get("error") or {}
    return "; ".join(str(part) for part in (error.get("message") or body.get("note"), error.get("remedy")) if part)
