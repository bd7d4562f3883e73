# -*- test-case-name: tests.unit.test_sources_x_payload -*-
"""JSON into a struct, leaving out whatever is not as declared.

Typed decoding refuses an object for one wrong field. That is the quick way, and right nearly always; this is the
second look at an object that it refused, so that a post is not lost for a hashtag.
"""

from __future__ import annotations

import types
import typing
from typing import Any, TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)


def decode(body: bytes, struct: type[S]) -> S:
    """Decode, with each optional field that does not fit at its default.

    Lists of texts or objects are without the rows that do not fit.

    Raises:
        msgspec.DecodeError: not JSON, not an object, or a field without a default does not fit.
    """
    return _struct(msgspec.json.decode(body), struct)


def _struct(value: Any, struct: type[S]) -> S:
    if not isinstance(value, dict):
        raise msgspec.ValidationError(f"Expected `object`, got `{type(value).__name__}`")
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(struct):
        if field.encode_name not in value:
            continue
        try:
            found[field.name] = _fitted(value[field.encode_name], field.type)
        except msgspec.ValidationError:
            if field.required:
                raise
    try:
        return struct(**found)
    except TypeError as error:
        raise msgspec.ValidationError(str(error)) from error


def _fitted(value: Any, kind: Any) -> Any:
    if kind is msgspec.Raw:
        return msgspec.Raw(msgspec.json.encode(value))
    for choice in typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,):
        if isinstance(choice, type) and issubclass(choice, msgspec.Struct) and value is not None:
            return _struct(value, choice)
        if typing.get_origin(choice) is list and isinstance(value, list):
            (rows,) = typing.get_args(choice)
            if rows is str or issubclass(rows, msgspec.Struct):  # of numbers, the others' places would be wrong
                return _rows(value, rows)
    return msgspec.convert(value, kind)


def _rows(values: list[Any], kind: Any) -> list[Any]:
    rows: list[Any] = []
    for value in values:
        try:
            rows.append(_fitted(value, kind))
        except msgspec.ValidationError:
            continue
    return rows
