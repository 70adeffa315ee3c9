"""Experiments with lists: who is in which arm, what is explored, and what the feedback says. numpy and scipy; no engine."""
