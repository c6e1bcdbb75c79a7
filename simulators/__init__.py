"""Plants, instruments, faults and the network between, for any site's registry: wire bytes and labelled truth.

Promises: the same site, seed and scenario give the same bytes, whatever the span or its chunking.
Does not promise: chemistry. Values are plausible and correlated, not a model of any real plant.
"""
