"""Points made of other points: conversions, balances, water, wind; `derived` computes, `made_of` remembers of what."""
