"""One module a kind of channel: what is sent, and what an answer means. What they share: wording, pace, pictures."""
