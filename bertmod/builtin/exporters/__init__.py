"""Built-in exporters: a trained model for other programs."""
