"""Tensor code that takes plain values and knows no configuration."""
