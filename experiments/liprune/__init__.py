"""Algorithm 1, exact Lipschitz constants, and GraNd as their approximation."""
