"""The guessed mapping as YAML, with the reason beside each line."""

import json
from collections.abc import Iterator
from typing import Final

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.spark_jobs.sources.epochs import LONG
from nightrank.spark_jobs.sources.formats import NumberFormat, Reading, TimeFormat
from nightrank.spark_jobs.sources.guess.profile import Profile
from nightrank.spark_jobs.sources.guess.roles import Role

WIDTH: Final = 44
Line = tuple[str, str]
"""A line of YAML and its reason."""
ACTION_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "purchase": ("purchase", "buy", "bought", "order", "transaction", "sale", "kauf", "bestellung"),
    "cart": ("cart", "addtocart", "basket", "warenkorb"),
    "click": ("click", "klick"),
    "impression": ("impression", "show", "shown", "exposure"),
    "rating": ("rating", "rate", "review"),
    "view": ("view", "pageview", "productview", "detail", "visit", "ansicht", "aufruf", "pv"),
}


def mapping_text(section: str, roles: list[Role], reading: Reading, unused: list[str], source: str) -> str:
    """The whole file. Every line that was decided has its reason behind it."""
    lines: list[Line] = [(f"{section}:", f"guessed from the first rows of {source}")]
    if reading.explode is not None:
        lines.append((f"  explode: {_quoted(reading.explode)}", "a list of objects: each element becomes a row"))
    lines.append(("  columns:", ""))
    lines += [(f"    {role.field}: {_quoted(role.profile.name)}", role.reason) for role in roles]
    by_field = {role.field: role.profile for role in roles}
    lines += _actions(by_field.get(c.ACTION))
    lines += _times(by_field.get(c.EVENT_TIME) or by_field.get(c.CREATED))
    lines += _numbers(by_field.get(c.VALUE) or by_field.get(c.PRICE))
    body = "\n".join(f"{text:<{WIDTH}} # {reason}" if reason else text for text, reason in lines)
    keys = "`context:` (events), `numbers:` (items) or `attributes:` (users)"
    left = f"# Not used: {', '.join(unused)}. Add what you want to keep to {keys}.\n"
    return f"{body}\n{left if unused else ''}"


def _quoted(text: str) -> str:
    return (
        text
        if text.isidentifier() and text.lower() not in ("null", "true", "false", "yes", "no", "on", "off")
        else json.dumps(text, ensure_ascii=False)
    )


def _actions(profile: Profile | None) -> Iterator[Line]:
    if profile is None:
        return
    mapped = {value: action_of(value) for value in profile.values}
    if all(action == value for value, action in mapped.items()):
        return
    yield "  actions:", "your names -> nightrank's"
    for value, action in mapped.items():
        if action is None:
            yield f"    # {_quoted(value)}: other", "not known: say what it is, or it becomes `other`"
        elif action != value:
            yield f"    {json.dumps(value, ensure_ascii=False)}: {action}", "the word for it"


def action_of(name: str) -> str | None:
    plain = "".join(letter for letter in name.lower() if letter.isalpha())
    if plain in ACTION_CODES:
        return plain
    return next((action for action, words in ACTION_WORDS.items() if plain in words), None)


def _times(profile: Profile | None) -> Iterator[Line]:
    found = profile.time() if profile is not None else None
    if profile is None or found is None:
        return
    how, readable = found
    yield "  time:", ""
    yield (
        f"    format: {json.dumps(how.format)}",
        f"reads {readable:,} of {profile.filled:,} cells of {profile.name}{_twin(profile, how)}",
    )
    if how.unit is not None:
        yield f"    unit: {how.unit}", f"the size of the numbers: {LONG[how.unit]} since 1970"
    elif profile.column.family != "time":
        yield "    timezone: UTC", "only of times that name no zone: say the shop's, such as Europe/Berlin"


def _twin(profile: Profile, how: TimeFormat) -> str:
    """A warning where day and month could be the other way round."""
    if "%d/%m" not in how.format:
        return ""
    sure = any(int(value.split("/")[0]) > 12 for value in profile.values if value.split("/")[0].isdigit())
    return "" if sure else "; if the month comes first, write %m/%d"


def _numbers(profile: Profile | None) -> Iterator[Line]:
    found = profile.number() if profile is not None else None
    if profile is None or found is None or found[0] == NumberFormat():
        return
    how, readable = found
    yield "  numbers:", f"reads {readable:,} of {profile.filled:,} cells of {profile.name}"
    yield f"    decimal: {json.dumps(how.decimal)}", f"such as {profile.values[0]}"
    if how.thousands is not None:
        yield f"    thousands: {json.dumps(how.thousands)}", "stands before groups of three digits"
    if how.currency:
        yield "    currency: true", "a currency mark stands beside the numbers"
