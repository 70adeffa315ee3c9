"""Which ranker a configuration means, in a few plain values: for result.json, the report and the registry."""

from collections.abc import Mapping
from typing import Any, Final

PLAIN: Final = (str, int, float, bool)


def ranker_facts(config: Mapping[str, Any]) -> dict[str, Any]:
    """{ranker: name of the user encoder, settings: width, head and its own plain ones} of a RankerConfig's JSON."""
    encoder = dict(config["encoder"])
    name = encoder.pop("name")
    own = {key: value for key, value in encoder.items() if isinstance(value, PLAIN)}
    return {"ranker": name, "settings": {"width": config["width"], "head": config["head"]["name"], **own}}
