"""Limits on what a model costs: its bytes and the time of a list."""

from nightrank.trainer.evaluation.limits.finding import Finding, at_most

MIB = 2**20


def bundle_growth(ours: int, theirs: int, bound: float) -> Finding:
    what = f"the bundle has {ours / MIB:.1f} MiB, the champion's {theirs / MIB:.1f}; ratio"
    return at_most("bundle_growth", ours / max(theirs, 1), bound, 0, what)


def latency_growth(ours: float, theirs: float, bound: float, n: int) -> Finding:
    """Seconds a row, of the fastest batch of each: what else the machine did is in the others."""
    what = f"a list takes {ours * 1e3:.2f} ms, the champion's {theirs * 1e3:.2f}; ratio"
    return at_most("latency_growth", ours / theirs if theirs > 0 else 1.0, bound, n, what)
