"""What a bucket answers, as one of our errors: what to do about it, and the exit code that an orchestrator acts on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from obstore.exceptions import (
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)

from nightrank.feature_store.contracts.errors import ConfigError, DependencyUnreachable

CREDENTIALS: Final = "the credentials come from the usual chain: environment, profile, instance role, web identity"
NO_BUCKET: Final = ("NoSuchBucket", "bucket does not exist", "ContainerNotFound")
OTHER_REGION: Final = ("PermanentRedirect", "AuthorizationHeaderMalformed", "301", "IllegalLocationConstraint", "BadRegion")


class UnknownOutcome(DependencyUnreachable):
    """The store did not answer, or not in time: a write may have happened or not."""


@contextmanager
def explained(address: str, key: str) -> Iterator[None]:
    """ConfigError for what asking again does not mend, UnknownOutcome for silence; conditions and absent keys pass through."""
    try:
        yield
    except FileNotFoundError as error:
        if _any(NO_BUCKET, error):
            raise ConfigError(f"bucket {address} does not exist", "make it, or name another one") from None
        raise FileNotFoundError(f"{address}/{key}") from None
    except UnauthenticatedError:
        raise ConfigError(f"{address} does not know these credentials", CREDENTIALS) from None
    except PermissionDeniedError as error:
        if _any(OTHER_REGION, error):
            raise _other_region(address) from None
        raise ConfigError(
            f"{address} does not allow this for {key or 'its top'} (403)", f"give this user the right; {CREDENTIALS}"
        ) from None
    except UnknownConfigurationKeyError as error:
        raise ConfigError(f"{address}: {error}", "unset that variable") from None
    except BaseError as error:
        if type(error).__name__ in ("AlreadyExistsError", "PreconditionError", "NotModifiedError"):
            raise
        if _any(NO_BUCKET, error):
            raise ConfigError(f"bucket {address} does not exist", "make it, or name another one") from None
        if _any(OTHER_REGION, error):
            raise _other_region(address) from None
        raise UnknownOutcome(
            f"{address} does not answer for {key or 'its top'}: {_short(error)}", "try again when it does"
        ) from None


def _other_region(address: str) -> ConfigError:
    return ConfigError(f"{address} is in another region than this process asks", "set AWS_REGION to the bucket's region")


def _any(words: tuple[str, ...], error: BaseException) -> bool:
    return any(word in str(error) for word in words)


def _short(error: BaseException) -> str:
    """The first sentence: a library's text may go on for pages, with requests in it."""
    return " ".join(str(error).split())[:200]
