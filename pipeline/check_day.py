"""Stage `check_day`: landed days are compared with the days before them, and a broken one is held back."""

from collections.abc import Iterator
from datetime import date

from nightrank.feature_store.contracts.errors import DayHeld
from nightrank.feature_store.contracts.guard_settings import GuardSettings
from nightrank.feature_store.contracts.holds import Hold, held_days, hold_of, remove_hold, save_hold
from nightrank.feature_store.contracts.landing_days import first_day, folded_days
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.outputs.checked import Checked, DayChecked, Guarded
from nightrank.feature_store.contracts.settings import CalendarSettings
from nightrank.feature_store.contracts.stage import StageContext, StageResult, stage_main
from nightrank.feature_store.guards.decide import judged, reasons
from nightrank.feature_store.guards.landed import landing_of, profile, reference_of, unknown_share

NAME = "check_day"


def run(context: StageContext) -> StageResult:
    """Every day that a night would learn is judged, once for the same files; a full run only goes without the held ones.

    DayHeld where the run's own date is held. Another held day is left out, and the run goes on.
    """
    days = tuple(_checked(context))
    without = sorted(day.isoformat() for day in held_days(context.lake) if day <= context.day)
    if context.kind == "nightly" and context.day.isoformat() in without:
        raise _held(context)
    for day in without:
        log.info(f"{NAME}: {day} is held, and this run goes without it; `nightrank nightly --accept {day}` folds it in")
    folded = tuple(sorted(day.isoformat() for day in folded_days(context)))
    return StageResult(
        NAME, rows_in=len(days), output=Checked(guards=Guarded(days=days, without=tuple(without), folded=folded))
    )


def _checked(context: StageContext) -> Iterator[DayChecked]:
    settings = context.section("guards", GuardSettings)
    clock = context.lake.landing_meta().get("clock") != "position"
    first = first_day(context)
    if not settings.enabled or not clock or first is None:
        return
    for day in context.lake.landing_days("events"):
        if first <= day <= context.day:
            found = _judged(context, settings, day)
            log.info(f"{NAME}: {day} {found.verdict.replace('_', ' ')}{': ' if found.note else ''}{found.note}")
            for sentence in reasons(found):
                log.info(f"{NAME}:   {sentence}")
            yield found


def _judged(context: StageContext, settings: GuardSettings, day: date) -> DayChecked:
    """The day's verdict, remembered in the lake where it is held. Accepted files stay accepted."""
    lake, before = context.lake, hold_of(context.lake, day)
    landing = landing_of(lake, day)
    if before is not None and before.landing == landing and before.status == "accepted":
        return DayChecked(date=day.isoformat(), verdict="accepted", note="", findings=())
    zone = context.section("calendar", CalendarSettings).timezone
    reference = reference_of(context, day, zone, settings.reference_days, held_days(lake))
    found = judged(profile(context, day, zone), reference, settings, unknown_share(lake, day))
    with context.commit():
        if found.verdict == "held":
            save_hold(lake, Hold(date=day, status="held", landing=landing, reasons=reasons(found), run_id=context.run_id))
        elif before is not None:
            remove_hold(lake, day)
    return found


def _held(context: StageContext) -> DayHeld:
    hold = hold_of(context.lake, context.day)
    words = "; ".join(hold.reasons) if hold else "no reason was recorded"
    return DayHeld(
        f"{context.day} is held back: {words}",
        f"lists stay as they are, and later nights go without it; land corrected files and give the same command again, or "
        f"`nightrank nightly --accept {context.day}` if the day is as it should be",
    )


if __name__ == "__main__":
    raise SystemExit(stage_main(NAME, run))
