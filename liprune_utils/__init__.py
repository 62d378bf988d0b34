"""The library behind the LiPrune book."""
