"""A bundle with rows for items that came after it, otherwise bit for bit the same. It makes lists when the model stays.

Shapes: I1 = items + 1 of the old bundle.
"""

from pathlib import Path

import torch

from nightrank.feature_store.contracts.storage import Location
from nightrank.ranker.bundle import files as files
from nightrank.ranker.bundle.bundle import Bundle
from nightrank.ranker.bundle.store import stored
from nightrank.ranker.inputs import ItemInputs


def store_grown_copy(
    models: Location, bundle: Bundle, inputs: ItemInputs, raw_ids: list[str], text_encoder: Path | None = None
) -> str:
    """Stores the copy in `models`; returns the sha256 of its manifest. Its matrices hold the bundle's own rows, also where the
    texts of old items have changed since; `inputs` must not count anything as popular."""
    ranker = bundle.ranker(inputs, text_encoder).eval()
    matrix = {
        "items": _continued(bundle.item_matrix, ranker.all_item_vectors()),
        "popularity": _continued(bundle.popularity, ranker.items.popularity.float()),
    }
    if not ranker.head.keeps_inputs:
        matrix["inputs"] = _continued(bundle.input_matrix, ranker.all_input_vectors())
    info = bundle.info.model_copy(update=vars(ranker.shapes))
    return stored(models, lambda folder: files.write_files(folder, info, ranker.state_dict(), matrix, raw_ids, bundle.of_items))


def _continued(old_Id: torch.Tensor, grown_Id: torch.Tensor) -> torch.Tensor:
    return torch.cat([old_Id, grown_Id[len(old_Id) :].to(old_Id.dtype)])
