"""The explanations of the paper's Section 5, tested."""
