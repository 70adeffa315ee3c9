"""What a bucket answers, as one of our errors: what to do about it, and the exit code that an orchestrator acts on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotModifiedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)

from nightrank.feature_store.contracts.errors import ConfigError, DependencyUnreachable, NightrankError

CREDENTIALS: Final = "the credentials come from the usual chain: environment, profile, instance role, web identity"
NO_BUCKET: Final = ("NoSuchBucket", "bucket does not exist", "ContainerNotFound")
OTHER_REGION: Final = (
    "redirect without LOCATION",
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraint",
    "BadRegion",
)
"""Amazon answers a bucket of another region by a redirect that names no address."""
CLOCK: Final = ("RequestTimeTooSkewed", "Request date header too old")
"""The store compares the time in a request's signature with its own."""
UNKNOWN: Final = ("status code: 401",)
DENIED: Final = ("status code: 403",)
"""A refused listing is no error of its own kind in obstore."""


class UnknownOutcome(DependencyUnreachable):
    """The store did not answer, or not in time: a write may have happened or not."""


@contextmanager
def explained(address: str, key: str) -> Iterator[None]:
    """ConfigError for faults that a retry does not fix, UnknownOutcome for a timeout; conditions and absent keys pass
    through."""
    try:
        yield
    except FileNotFoundError as error:
        if _any(NO_BUCKET, error):
            raise _no_bucket(address) from None
        raise FileNotFoundError(f"{address}/{key}") from None
    except (AlreadyExistsError, PreconditionError, NotModifiedError):
        raise
    except BaseError as error:
        raise _fault(address, key or "its top", error) from None


def _fault(address: str, key: str, error: BaseError) -> NightrankError:
    if _any(NO_BUCKET, error):
        return _no_bucket(address)
    if _any(OTHER_REGION, error):
        return ConfigError(f"{address} is in another region than this process asks", "set AWS_REGION to the bucket's region")
    if _any(CLOCK, error):
        return of_clock(address)
    if isinstance(error, UnauthenticatedError) or _any(UNKNOWN, error):
        return ConfigError(f"{address} does not know these credentials", CREDENTIALS)
    if isinstance(error, PermissionDeniedError) or _any(DENIED, error):
        return ConfigError(f"{address} does not allow this for {key} (403)", f"give this user the right; {CREDENTIALS}")
    if isinstance(error, UnknownConfigurationKeyError):
        return ConfigError(f"{address}: {error}", "unset that variable")
    return UnknownOutcome(f"{address} does not answer for {key}: {_short(error)}", "try again when it does")


def of_clock(address: str) -> ConfigError:
    remedy = "set this host's clock by NTP (chronyc tracking, timedatectl), then give the same command again"
    return ConfigError(f"{address} refuses this host: its clock is wrong by a quarter of an hour or more", remedy)


def _no_bucket(address: str) -> ConfigError:
    return ConfigError(f"bucket {address} does not exist", "make it, or name another one")


def _any(words: tuple[str, ...], error: BaseException) -> bool:
    return any(word in str(error) for word in words)


def _short(error: BaseException) -> str:
    """The first words: a library's text may continue for pages, with requests in it."""
    return " ".join(str(error).split())[:200]
