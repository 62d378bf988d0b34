"""LiPrune on the sine model: Figures 3 and 10 to 12 of the paper."""
