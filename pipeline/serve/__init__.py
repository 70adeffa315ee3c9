"""`nightrank serve`: a release over HTTP."""
