"""Pre-training: masked pieces and pairs of segments."""
