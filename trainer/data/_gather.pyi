from trainer.data.plan import Indices
from trainer.data.rows import Array

def gather_rows(
    places: Array,
    index: Indices,
    items_T: Array,
    actions_T: Array,
    times_T: Array,
    loss_from_B: Array,
    users_B: Array,
    weight_B: Array,
) -> None:
    """Fills the last six with the rows at `index` [B], part << 32 | row, of the parts whose `Rows.places` are `places` [P, 9].
    Python's lock is let go of meanwhile. ValueError for arrays of sizes that do not fit one another; IndexError for a row that
    its part does not have, or tokens that do not fill `items_T`; the last six are undefined then."""
