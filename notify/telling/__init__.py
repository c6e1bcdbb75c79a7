"""Who is told what, when and why: pure, replayed with the journal; `tell` is the way in."""
