"""What Horovod makes of a machine's own name."""

import socket

from nightrank.feature_store.contracts.errors import ConfigError


def check_hostname(name: str, own: str = "127.0.0.1") -> None:
    """ConfigError where the machine does not know its own name, or its name is the loopback's though others reach it at `own`.

    Horovod ends in a segmentation fault on the one. On the other 0.28 tells the other ranks the loopback: its first connections
    use HOROVOD_GLOO_IFACE, those of the process set look the name up.
    """
    try:
        found = socket.gethostbyname(name)
    except OSError:
        raise ConfigError(
            f"this machine's own name {name!r} does not resolve, which makes Horovod crash",
            f"add the line `{own} {name}` to /etc/hosts, or set trainer.launcher=one_process",
        ) from None
    if found.startswith("127.") and not own.startswith("127."):
        raise ConfigError(
            f"this machine's own name {name!r} stands for {found}, and other ranks reach it at {own}",
            f"put the line `{own} {name}` into /etc/hosts, before any other with that name",
        )
