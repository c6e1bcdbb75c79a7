"""What people and instruments say about readings: marks, calibrations, stops; and until when a mark may come."""
