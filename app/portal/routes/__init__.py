"""The HTTP API, one module a subject; `app.portal.app` mounts them."""
