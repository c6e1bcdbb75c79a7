"""From verdicts to alerts: episodes as a fold (`update`), and what decided verdicts said before (`verdict_past`)."""
