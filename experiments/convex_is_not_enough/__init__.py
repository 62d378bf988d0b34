"""Convex problems on which LiPrune helps, does nothing or harms; real convex data."""
