"""LiPrune on CIFAR-10: Figures 2 and 13 to 16 of the paper."""
