"""Adapters that come with bertmod."""
