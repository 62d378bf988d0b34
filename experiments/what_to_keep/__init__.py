"""What a pruning rule would have to keep: optimal designs, on generated and on real data."""
