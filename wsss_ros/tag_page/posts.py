"""What the page posts: the JSON body of a request, and the messages in it."""

import json
import re
from email.message import Message
from http import HTTPStatus
from io import BufferedIOBase
from typing import Annotated, Literal

from pydantic import Field

from wsss_ros.config import Config

MAX_BYTES = 64 * 1024  # of a posted body


class Tags(Config):
    """A post to /tags; names have the signs of ``LabelSpace.tag_list``, such as ``-sofa`` for an absent class.

    ``stamp`` is the one of the tagged picture: seconds and nine digits; empty for the newest.
    """

    about: Literal["image", "scene"]
    names: tuple[Annotated[str, Field(max_length=100)], ...] = Field(min_length=1, max_length=254)
    stamp: str = Field("", pattern=r"^(\d{1,10}\.\d{9})?$")


class Command(Config):
    """A post to /command."""

    command: Literal["start_scene", "finish_scene", "pause", "resume", "train", "rollback", "reset"]


class Refused(Exception):
    """A request that is refused, with its HTTP status and the reason."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


def read_body(headers: Message, file: BufferedIOBase) -> dict:
    """Read the posted JSON object. Raises Refused for any other body; a large one is not read at all."""
    if headers.get_content_type() != "application/json" or "Content-Type" not in headers:
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected Content-Type: application/json")
    lengths = headers.get_all("Content-Length", [])
    if len(lengths) != 1 or not re.fullmatch(r"[0-9]{1,18}", lengths[0]) or "Transfer-Encoding" in headers:
        raise Refused(HTTPStatus.LENGTH_REQUIRED, "expected one Content-Length, and a body of that length")
    length = int(lengths[0])
    if length > MAX_BYTES:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{length} bytes; expected at most {MAX_BYTES}")
    try:
        posted = json.loads(file.read(length))
    except (ValueError, RecursionError) as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"not JSON: {error}") from error
    if not isinstance(posted, dict):
        raise Refused(HTTPStatus.BAD_REQUEST, f"expected a JSON object, got a {type(posted).__name__}")
    return posted


def check_origin(headers: Message) -> None:
    """Raise Refused for a post that does not come from this page."""
    origins, own = headers.get_all("Origin", []), f"http://{headers['Host']}"
    if [origin.lower() for origin in origins] != [own.lower()]:
        got = ", ".join(origins)[:80] or "none"
        raise Refused(HTTPStatus.FORBIDDEN, f"Origin: got {got}, expected {own}; posts of other pages are refused")
