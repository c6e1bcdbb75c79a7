"""What was emitted: mass by the hour, and what stands in for hours without valid data. Feeds no judgement."""
