"""Every claim, its measurement, its verdict."""
