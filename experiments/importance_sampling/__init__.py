"""Does importance sampling save steps of SGD? Theorem 1 and the optimal probabilities."""
