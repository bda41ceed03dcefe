"""What every service and its clients say to each other, as JSON."""

from pydantic import BaseModel, ConfigDict, Field

ANONYMOUS = "anonymous"
"""Who asks, unless told."""


class Message(BaseModel):
    """Base of all: a field that is not known is an error, not a wish ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PlaceInfo(Message):
    """Where in the text of a query: both from 1."""

    line: int
    column: int


class ErrorInfo(Message):
    """Why something cannot be done."""

    code: str = Field(description="Stays the same; docs/limits.md lists all.")
    message: str = Field(description="What is wrong, where, and what to do.")
    retryable: bool = Field(description="Whether trying again can help.")
    place: PlaceInfo | None = None
    hint: str | None = Field(default=None, description="The part of the message that says what to do.")


class ErrorDocument(Message):
    """The body of every answer that is an error."""

    error: ErrorInfo
