"""Why a set of ranks ended, from their heartbeats and from what their launcher says."""

from collections.abc import Mapping
from typing import Final

from nightrank.feature_store.contracts.errors import NightrankError, StalledError
from nightrank.trainer.config.job import Job
from nightrank.trainer.launch.beats import read_stack
from nightrank.trainer.ranks.faults import fault_from_json
from nightrank.trainer.ranks.heartbeats import Beat

LOST: Final = "was lost (killed from outside, or out of memory)"
AGAIN: Final = "run the same command again: training resumes from its checkpoint"
ABOVE: Final = "see the lines above"


def ranks_of(job: Job) -> int:
    return 1 if job.config.launcher == "one_process" else job.config.workers


def blame(beats: list[Beat], job: Job, code: int, first: Mapping[int, int] | None = None) -> NightrankError:
    """Why the ranks ended: a fault they agreed on, else a rank that hung, else one that was lost without last words.

    `first`: the rank that the launcher says ended first, where it said so, and its exit code.
    """
    size, first = ranks_of(job), first or {}
    by_how: dict[str, list[Beat]] = {}
    for beat in beats:
        by_how.setdefault((beat["ended"] or {"how": "silent"})["how"], []).append(beat)
    if "fault" in by_how:
        return fault_from_json(by_how["fault"][0]["ended"]["fault"])
    if "crashed" in by_how:
        return _crashed(by_how["crashed"][0], size)
    never = _never_came_up({beat["rank"] for beat in beats}, size, code, first)
    if never is not None and not any(beat["waiting_in"] is None for beat in by_how.get("ended_itself", [])):
        return never
    if len(apart := {beat["waiting_in"] for beat in by_how.get("ended_itself", [])} - {None}) > 1 and len(beats) == size:
        return _out_of_order(beats, sorted(apart))
    if "ended_itself" in by_how:
        beat = min(by_how["ended_itself"], key=lambda b: (b["waiting_in"] is not None, b["collectives"]))
        return stalled(beat, size, f"was ended: {beat['ended']['why']}", read_stack(job.ranks, beat["rank"]))
    if "silent" in by_how:
        beat = min(by_how["silent"], key=lambda b: (b["rank"] not in first, b["collectives"], b["rank"]))
        return stalled(beat, size, LOST, "")
    if code < 0:
        return StalledError(f"the launcher of {size} ranks {LOST}", AGAIN)
    if not beats:
        return NightrankError(f"the launcher of {size} ranks ended with {code} before any of them came up", ABOVE)
    return NightrankError(f"the launcher of {size} ranks ended with {code}, and no rank left an error", ABOVE)


def stalled(beat: Beat, size: int, what: str, stack: str) -> StalledError:
    where = f"rank {beat['rank']} of {size} on {beat['host']} {what}; its last step was {beat['step']}, doing {beat['doing']}"
    if beat["waiting_in"]:
        where += f", waiting in {beat['waiting_in']}"
    return StalledError(where + (f"\n{stack}" if stack else ""), AGAIN)


def _out_of_order(beats: list[Beat], names: list[str]) -> StalledError:
    """Every rank waits, and not in the same collective."""
    where = ", ".join(f"rank {beat['rank']} in {beat['waiting_in']} at step {beat['step']}" for beat in beats)
    return StalledError(f"ranks met in different collectives ({' and '.join(names)}): {where}", AGAIN)


def _crashed(beat: Beat, size: int) -> NightrankError:
    return NightrankError(
        f"rank {beat['rank']} of {size} ended at step {beat['step']} with {beat['ended']['error']}",
        "its traceback is in the lines above",
    )


def _never_came_up(up: set[int], size: int, code: int, first: Mapping[int, int]) -> NightrankError | None:
    """The rank that ended before its first heartbeat, if one is to blame: StalledError where it was killed."""
    missing = sorted(set(range(size)) - up)
    if size == 1 and not first:
        first = {0: code}
    named = [rank for rank in first if rank in missing]
    if named:
        rank = named[0]
        if _killed(first[rank]):
            return StalledError(f"rank {rank} of {size} {LOST} before it came up", AGAIN)
        return NightrankError(f"rank {rank} of {size} ended with exit code {first[rank]} before it came up", ABOVE)
    if missing and up and not first:
        ranks = f"rank {missing[0]}" if len(missing) == 1 else f"ranks {missing}"
        return StalledError(f"{ranks} of {size} {LOST} before coming up", AGAIN)
    return None


def _killed(code: int) -> bool:
    """A process that ends by a signal has a negative code; a shell that ran it says 128 and the signal's number."""
    return code < 0 or code > 128
