"""The part that sends: one worker a channel, off the outbox; and the links people acknowledge with."""
