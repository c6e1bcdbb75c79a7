"""The shipped tables of `library/`, read and checked: limits, judgement by medium, validity, water classes."""
