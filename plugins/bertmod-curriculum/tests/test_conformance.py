"""What bertmod asks of every sampler."""

from bertmod.testing import conformance

test_sampler = conformance(
    "bertmod-curriculum",
    configs={"curriculum": [{"temperature": 0.1, "floor": 0.2, "goals": {"small": 0.5}}]},
)
