"""The library on a reader's own data."""
