"""The service: collectors and the engine as processes, recovery, checkpoints, housekeeping."""
