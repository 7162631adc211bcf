"""Measurements of bertmod beside other tools, on the same rows.

``python -m benchmarks --help`` from the root of a checkout. The other tools live in environments of
their own, which ``python -m benchmarks environment`` makes; the programs that run there are in
``benchmarks/programs/`` and import nothing of this package.
"""
