"""The built-in viewer: the boards Grafana draws, and the alerts, in a browser, without any server beside the portal.

Importing this package imports no web toolkit; `mount.mount` does.
"""
