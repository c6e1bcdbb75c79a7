"""`metrics:` of site.yaml: where a process tells its figures and its health."""

from typing import Annotated

from pydantic import Field

from .strict import Strict


class Metrics(Strict):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 9464
