"""What Spark's and Delta's libraries say of a bucket that fails, as one of our errors with its exit code.

The room `contracts/storage` does the same for its own client. Here the words are those of S3A and of delta-rs.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from nightrank.feature_store.causes import causes
from nightrank.feature_store.contracts.errors import ConfigError, DependencyUnreachable, NightrankError
from nightrank.feature_store.contracts.storage import Location, hdfs_errors
from nightrank.feature_store.contracts.storage.object_errors import CLOCK, CREDENTIALS, of_clock

OF_A_BUCKET: Final = re.compile(r"s3a?://|S3 error|necessary privileges|fs\.s3a\.|nightrank\.delta")
OF_HDFS: Final = re.compile(r"hdfs://|org\.apache\.hadoop\.(?:hdfs|ipc|security)|failed on connection exception")
"""One of these is in the text of every fault that is about storage."""
NO_PACKAGES: Final = re.compile(r"\S*(?:S3AFileSystem|ConditionalPutLogStore|PathOutputCommitProtocol) not found")
MISSING_CLASS: Final = re.compile(r"ClassNotFoundException[: ]+\S*(?:s3a|nightrank\.delta|io\.cloud|awssdk)\.")
NO_BUCKET: Final = re.compile(r"UnknownStoreException|NoSuchBucket|bucket does not exist", re.I)
OTHER_REGION: Final = re.compile(r"AWSRedirect|PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraint")
WRONG_CLOCK: Final = re.compile("|".join(CLOCK))
UNKNOWN: Final = re.compile(r"NoAuth|CredentialInit|InvalidAccessKeyId|SignatureDoesNotMatch|Unable to load credentials")
DENIED: Final = re.compile(r"AccessDenied|Status Code: 403|necessary privileges|403 Forbidden")
SILENT: Final = re.compile(
    r"AWSClientIO|AWSServiceIO|AWSServiceThrottled|AWSStatus500|AWSApiCallTimeout|SdkClientException|Status Code: 5\d\d|"
    r"Generic S3 error|ConnectException|ConnectTimeout|SocketTimeout|UnknownHost|NoHttpResponse"
)


@contextmanager
def of_delta_rs(place: Location) -> Iterator[None]:
    """Inside, a fault that delta-rs has with the bucket of `place` is one of our errors; others pass."""
    try:
        yield
    except OSError as error:
        fault = fault_of(place, error)
        if fault is None:
            raise
        raise fault from None


def fault_of(place: Location, error: BaseException) -> NightrankError | None:
    """The fault of the bucket that `error` tells of, wherever in its causes; None for a disk and for any other fault."""
    if place.is_local:
        return None
    text = "\n".join([str(error), *(f"{kind}: {message}" for kind, message in causes(error))])
    address = f"{place.scheme}://{place.bucket}"
    if place.scheme == "hdfs":
        return hdfs_errors.fault_in(address, text) if OF_HDFS.search(text) else None
    return _of_a_bucket(address, text) if OF_A_BUCKET.search(text) else None


def _of_a_bucket(address: str, text: str) -> NightrankError | None:
    if NO_PACKAGES.search(text) or MISSING_CLASS.search(text):
        return ConfigError(
            f"this Spark has no library for {address}",
            "start it by nightrank, or give spark-submit the packages and the jar that docs/how-to/object-storage.md names",
        )
    if NO_BUCKET.search(text):
        return ConfigError(f"bucket {address} does not exist", "make it, or name another one")
    if OTHER_REGION.search(text):
        return ConfigError(f"{address} is in another region than this process asks", "set AWS_REGION to the bucket's region")
    if WRONG_CLOCK.search(text):
        return of_clock(address)
    if UNKNOWN.search(text):
        return ConfigError(f"{address} does not know these credentials, or there are none", CREDENTIALS)
    if DENIED.search(text):
        return ConfigError(f"{address} does not allow what a table needs (403)", f"give this user the right; {CREDENTIALS}")
    if (found := SILENT.search(text)) is not None:
        return DependencyUnreachable(f"{address} does not answer: {_line_at(text, found.start())}", "try again when it does")
    return None


def _line_at(text: str, place: int) -> str:
    """The line of a long report that names the fault."""
    return text[text.rfind("\n", 0, place) + 1 :].partition("\n")[0].strip()[:200]
