"""How the service is: status, doctor, metrics, logs, disk forecast."""
