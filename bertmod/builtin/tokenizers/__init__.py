"""Tokenizers that come with bertmod."""
