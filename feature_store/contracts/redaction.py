"""Text that leaves a process: addresses in it have no user and password, and secrets that this process knows are `***`."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from nightrank.feature_store.contracts.secret_settings import given, secrets_of
from nightrank.feature_store.contracts.secrets import HIDDEN, looks_secret, without_credentials

SHORTEST: Final = 8
"""A shorter value is a word that may stand anywhere: it is hidden where its key or address is seen, not in running text."""

FOLDERS: Final = frozenset({"PWD", "OLDPWD"})
"""A shell's working folders, no passwords."""


@dataclass(frozen=True)
class Redactor:
    """Hides `values` wherever they stand, and users and passwords of addresses."""

    values: tuple[str, ...]
    """The longest first, so that no rest of one is left."""

    def __call__(self, text: str) -> str:
        for value in self.values:
            if value in text:
                text = text.replace(value, HIDDEN)
        return without_credentials(text)


def redactor(config: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Redactor:
    """Knows what the environment keeps under names that look like secrets, the passwords of addresses in it, and `config`'s."""
    environ = os.environ if environ is None else environ
    found = [value for name, value in environ.items() if looks_secret(name) and name not in FOLDERS]
    settings = [*given(environ), *(secrets_of(config) if config else [])]
    texts = [value for _, value in settings if isinstance(value, str)]
    passwords = [word for value in [*environ.values(), *texts] for word in _passwords(value)]
    plain = [value for value in texts if not list(_passwords(value))]
    return Redactor(tuple(sorted({v for v in [*found, *plain, *passwords] if len(v) >= SHORTEST}, key=len, reverse=True)))


def _passwords(address: str) -> Iterable[str]:
    """The password of an address, as it stands and as it is meant."""
    if "://" not in address:
        return
    try:
        password = urlsplit(address).password
    except ValueError:
        return
    if password:
        yield from {password, unquote(password)}
