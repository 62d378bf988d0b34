"""The Hessian norm of a batch: how it is measured, and whether it is the Lipschitz constant."""
