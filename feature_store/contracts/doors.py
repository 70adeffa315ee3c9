"""Files that users name: each is checked before it is opened, and every fault is a clear sentence."""

import errno
import os
import re
import stat
from pathlib import Path
from typing import Any, Final

import yaml

from nightrank.feature_store.contracts.errors import ConfigError, NightrankError

MOST_BYTES: Final = 16 << 20
"""A configuration file or a mapping is far smaller."""
PIPE: Final = "a pipe, a socket or a device can be read only once: write its content to a file and name that file"


class _Loader(yaml.SafeLoader):
    """YAML in which `1e-4` is a number, as in JSON."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789"))


def parse_yaml(text: str) -> Any:
    """What the text says. YAMLError where it is not YAML."""
    return yaml.load(text, _Loader)


def check_readable(path: Path, what: str, error: type[NightrankError], absent: str) -> None:
    """Nothing where `path` is a file or a folder that can be read; else `error` says what is wrong. `absent` is its remedy."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        problem = "is a broken link" if path.is_symlink() else "does not exist"
        raise error(f"{what} {path} {problem}", absent) from None
    except NotADirectoryError:
        raise error(f"{what} {path} does not exist: a part of its path is a file", absent) from None
    except OSError as fault:
        raise error(f"{what} {path} cannot be opened: {_reason(fault)}", absent) from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise error(f"{what} {path} is not a file", PIPE)
    if not os.access(path, os.R_OK):
        raise error(f"{what} {path} cannot be read by this user", "give this user read permission")


def read_yaml(path: Path, what: str, absent: str) -> dict[str, Any]:
    """The keys of a YAML file; an empty file has none. ConfigError names the file, the line, and what is wrong there."""
    check_readable(path, what, ConfigError, absent)
    if path.is_dir():
        raise ConfigError(f"{what} {path} is a folder", f"name the YAML file in it; {absent}")
    if path.stat().st_size > MOST_BYTES:
        raise ConfigError(f"{what} {path} has {path.stat().st_size:,} bytes, too many for a configuration", absent)
    try:
        tree = parse_yaml(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what} {path} is not UTF-8 text (byte {error.start})", "save it as UTF-8") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{what} {path} is not YAML: {yaml_fault(error)}", "fix the file at that place") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict) or not all(isinstance(key, str) for key in tree):
        kind = "keys that are not text" if isinstance(tree, dict) else KINDS.get(type(tree), "no keys")
        raise ConfigError(f"{what} {path} holds {kind}, not keys with values", absent)
    return dict(tree)


KINDS: Final[dict[type, str]] = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "yes or no"}


def yaml_fault(error: Exception) -> str:
    """Where it is and what is wrong; not the text that is there, which may be a secret."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem or error.context}"
    return "it nests too deep" if isinstance(error, RecursionError) else "a value or a character in it cannot be read"


def _reason(fault: OSError) -> str:
    return "it is a link that leads back to itself" if fault.errno == errno.ELOOP else (fault.strerror or "unknown").lower()
