"""Going back to an earlier model and its lists, in every store that shows them."""
