"""A personalised digest of new papers, by mail every morning."""

__version__ = "0.1.0"
