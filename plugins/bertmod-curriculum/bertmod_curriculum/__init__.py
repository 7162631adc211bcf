"""A sampler for bertmod that follows the dev scores of the tasks."""
