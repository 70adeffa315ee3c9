"""The clock a night is dated by, and what installed packages would tell others."""

from datetime import timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.settings import DataSettings
from nightrank.feature_store.contracts.storage import Location
from nightrank.pipeline.doctor.finding import Finding
from nightrank.pipeline.doctor.machine import Machine

YEARS = range(2025, 2100)
SET_TIME = "set the time: timedatectl set-ntp true"
SWITCHES = {
    "HF_HUB_DISABLE_TELEMETRY": "Hugging Face hub",
    "MLFLOW_DISABLE_TELEMETRY": "MLflow",
}
"""Each is also off under DO_NOT_TRACK."""
YES = {"1", "true", "yes", "on"}


def check_clock(machine: Machine, settings: DataSettings, root: Location | None) -> list[Finding]:
    """A plausible year, a clock that does not run backwards, a known zone, and no landing day after tomorrow."""
    now = machine.now()
    first, second = machine.monotonic(), machine.monotonic()
    if now.year not in YEARS:
        return [Finding("clock", "fail", f"the clock says {now:%Y-%m-%d %H:%M} UTC", SET_TIME)]
    if second < first:
        return [Finding("clock", "fail", f"the monotonic clock went back by {first - second:.3f} s", "restart this machine")]
    zone = settings.calendar.timezone
    try:
        local = now.astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError):
        remedy = "name a zone as in the IANA list, for example Europe/Berlin; apt-get install -y tzdata brings them"
        return [Finding("clock", "fail", f"calendar.timezone {zone!r} is unknown here", remedy)]
    seen = f"{now:%Y-%m-%d %H:%M} UTC; a day ends at midnight in {zone}, where it is {local:%H:%M}"
    days = Lake(root).landing_days("events") if root is not None else []
    ahead = [day for day in days if day > local.date() + timedelta(days=1)]
    if ahead:
        remedy = f"{SET_TIME}, if the clock is behind; harmless for simulated days"
        return [Finding("clock", "warn", f"{seen}; {len(ahead)} landing day(s) in the future, up to {ahead[-1]}", remedy)]
    return [Finding("clock", "ok", seen)]


def check_telemetry(machine: Machine) -> list[Finding]:
    """Says what is on. nightrank itself sends nothing."""
    off = _is_on(machine, "DO_NOT_TRACK")
    talking = [package for switch, package in SWITCHES.items() if not (off or _is_on(machine, switch))]
    if talking:
        seen = f"{' and '.join(talking)} may send usage data"
        return [
            Finding("telemetry", "warn", seen, "export DO_NOT_TRACK=1 HF_HUB_DISABLE_TELEMETRY=1 MLFLOW_DISABLE_TELEMETRY=true")
        ]
    return [Finding("telemetry", "ok", f"off for {' and '.join(SWITCHES.values())}; nightrank sends none")]


def _is_on(machine: Machine, name: str) -> bool:
    return machine.environ.get(name, "").strip().lower() in YES
