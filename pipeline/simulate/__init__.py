"""A seeded market: users, items and their events day by day, with the truth they were drawn from."""

from nightrank.pipeline.simulate.market import simulate

__all__ = ["simulate"]
