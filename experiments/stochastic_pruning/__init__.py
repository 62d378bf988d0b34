"""Theorem 2, stochastic pruning, and its proof line by line."""
