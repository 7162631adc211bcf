"""Encoders that come with bertmod."""
