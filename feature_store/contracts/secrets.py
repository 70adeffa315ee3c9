"""What may be shown of a setting. A value under a key that looks like a secret, and an address' user and password, may not."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

HIDDEN: Final = "***"
WORDS: Final = frozenset({"pwd", "token", "key", "keys", "auth", "authorization", "cookie", "sas"})
"""A key with one of these among its words holds a secret. `max_tokens` and `monkey` do not."""
PARTS: Final = re.compile(r"passw|passphrase|secret|credential|apikey|accesskey|privatekey|bearer", re.IGNORECASE)
PLACES: Final = frozenset({"file", "files", "path", "folder", "dir"})
"""A key that ends with one of these says where a secret is, and holds none."""
FREE: Final = ("extra",)
"""Sections in which people write settings of other programs: of their values only numbers, sizes and switches are shown."""
REFERENCE: Final = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
"""Names a variable of the environment that holds a value: `${env:NAME}`."""
_HARMLESS: Final = re.compile(r"true|false|-?[0-9]+(\.[0-9]+)?[a-z%]{0,2}", re.IGNORECASE)
_USER_INFO: Final = re.compile(r"(?<=://)[^/?#\s'\"]*@")
_ARGUMENT: Final = re.compile(r"(?<=[?&;])([^=&;#\s]+)=([^&;#\s'\"]*)")
_KINDS: Final = ((bool, "true or false"), (int, "a whole number"), (float, "a number"), (str, "text"))


def looks_secret(key: str) -> bool:
    """Whether a value under this key (a dotted path, an environment variable) is one to hide."""
    words = re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", ".", key).lower())
    if words[-1] in PLACES:
        return False
    return bool(PARTS.search(key)) or any(word in WORDS for word in words)


def hides(path: Sequence[str], value: str) -> bool:
    """Whether the text under this path of keys is not to be shown at all. The name of a variable may be."""
    if REFERENCE.fullmatch(value):
        return False
    free = any(key in FREE for key in path[:-1]) and not _HARMLESS.fullmatch(value)
    return bool(value) and (free or looks_secret(".".join(path)))


def without_credentials(text: str) -> str:
    """The same text, its addresses without user and password, and without arguments that look like secrets."""
    bare = _USER_INFO.sub("", text)
    return _ARGUMENT.sub(lambda found: f"{found[1]}={HIDDEN}" if looks_secret(found[1]) else found[0], bare)


def masked(value: Any, path: tuple[str, ...] = ()) -> Any:
    """The same tree for showing: what looks like a secret is `***`, and addresses have no user and password."""
    if isinstance(value, Mapping):
        return {name: masked(inner, (*path, name)) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [masked(inner, path) for inner in value]
    if isinstance(value, str):
        return HIDDEN if hides(path, value) else without_credentials(value)
    return value


def kind_of(value: Any) -> str:
    """`text`, `a whole number`, `a mapping` and so on."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return next((name for kind, name in _KINDS if isinstance(value, kind)), type(value).__name__)


def described(path: Sequence[str | int], value: Any, known: bool = True) -> str:
    """The kind of a value, and the value itself where it is short and its key is `known` and hides nothing."""
    keys = [str(part) for part in path]
    hidden = not known or looks_secret(".".join(keys)) or any(key in FREE for key in keys)
    if hidden or value is None or isinstance(value, Mapping | list | tuple):
        return kind_of(value)
    return f"{kind_of(value)}: {without_credentials(str(value))!r:.60}"
