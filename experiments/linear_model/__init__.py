"""LiPrune on the linear model: Figures 1 and 4 to 9 of the paper."""
