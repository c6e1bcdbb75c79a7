"""`greenisland demo`: a whole centre on one machine. Simulated stations, an embedded broker, the real pipeline."""
