"""What bertmod asks of every adapter."""

from bertmod.testing import conformance

test_adapters = conformance("bertmod-lora")
