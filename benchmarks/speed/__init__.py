"""How fast bertmod is: beside its peers on the same rows, and beside what the machine can do.

``python -m benchmarks run --suite train|infer|data|startup``.
"""
