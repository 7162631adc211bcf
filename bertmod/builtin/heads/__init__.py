"""Heads that come with bertmod."""
