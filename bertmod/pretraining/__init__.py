"""Text to instances for pre-training: pairs of segments with masked pieces."""
