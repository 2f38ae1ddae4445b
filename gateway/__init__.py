"""Doorward: a gateway between software agents and the APIs they call; this package knows no name of any customer."""

__version__ = "0.1.0"
