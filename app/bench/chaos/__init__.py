"""Killing a whole centre again and again, and then reconciling every message, decision and notification.

docs/guide/reliability.md says what is proved and how to run it.
"""
