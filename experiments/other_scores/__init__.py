"""Other scores of examples beside the Lipschitz constant."""
