"""A fault of Spark with all that caused it."""

from collections.abc import Iterator
from typing import Any


def causes(error: BaseException) -> Iterator[tuple[str, str]]:
    """(class, message) of the fault and of its causes, in Python and in the JVM."""
    seen: Any = error
    while seen is not None:
        yield type(seen).__name__, str(getattr(seen, "_desc", None) or "")
        java = getattr(seen, "java_exception", None) or getattr(seen, "_origin", None)
        while java is not None:
            yield str(java.getClass().getSimpleName()), str(java.getMessage())
            java = java.getCause()
        seen = getattr(seen, "_cause", None)
