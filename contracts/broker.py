"""An MQTT broker, as a site names it."""

from typing import Annotated, Literal

from pydantic import Field

from .strict import Strict


class Broker(Strict):
    """The MQTT broker collectors and simulators talk to; or one that notifications are published to."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    username: str | None = None
    password_file: str | None = None  # a file, never a value: secrets stay out of the site's directory
    ca_file: str | None = None  # set: TLS, verified against this certificate authority
    protocol: Literal["5", "3.1.1"] = "5"  # 3.1.1 knows no Receive Maximum: the broker alone bounds what is in flight
    receive_maximum: Annotated[int, Field(ge=1, le=65535)] = 1000  # unacknowledged messages in flight
    keep_alive_s: Annotated[int, Field(ge=5, le=3600)] = 30
