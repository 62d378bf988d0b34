"""What every page of the book and its build need."""
