"""LoRA and IA3 adapters for bertmod."""
