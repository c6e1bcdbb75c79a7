"""The portal: who may see and do what, the HTTP API in `routes/`, the viewer in `viewer/`."""
