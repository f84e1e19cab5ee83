"""What a client sees of an answer, on one scale, and what every adapter needs."""

from dataclasses import dataclass, field

from pydantic import BaseModel


class City(BaseModel):
    """The document that the structured scene asks for."""

    city: str
    country: str


@dataclass
class Seen:
    text: str = ""
    calls: list = field(default_factory=list)  # (name, arguments)
    finish: str = ""  # stop, tools or length
    usage: dict = field(default_factory=dict)  # the kinds of tokens that this client can tell
    document: object = None


def names(error):
    """Names of the classes that an error can be caught as."""
    return [each.__name__ for each in type(error).__mro__]


def result(at, name):
    """The result that the tool `name`, called at place `at`, is said to have given."""
    return f"result {at} of {name}"
