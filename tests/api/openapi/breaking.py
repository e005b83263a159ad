"""Finds what in a new OpenAPI document would break a client of an older one (README, "What may change")."""

from collections.abc import Iterator
from typing import Any, Final

Json = Any
_LEAST: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_MOST: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")


class Comparison:
    """Compares two documents. A client may send what the old one allows, and gets nothing that it does not describe."""

    def __init__(self, before: Json, after: Json) -> None:
        self._before = before
        self._after = after
        self._seen: set[tuple[str, str, bool]] = set()

    def breaks(self) -> Iterator[str]:
        """Yield a line for each break, which begins with its place."""
        for path, methods in self._before["paths"].items():
            for method, old in methods.items():
                place, new = f"{method.upper()} {path}", self._after["paths"].get(path, {}).get(method)
                if new is None:
                    yield f"{place}: is gone"
                    continue
                yield from self._parameters(place, old, new)
                yield from self._body(place, old.get("requestBody"), new.get("requestBody"))
                for status, response in old["responses"].items():
                    if status.startswith("2"):
                        there = new["responses"].get(status)
                        yield from self._content(f"{place} {status}", response, there, sent=False)

    def _parameters(self, place: str, old: Json, new: Json) -> Iterator[str]:
        before, after = (
            {(one["in"], one["name"]): one for one in (_resolved(each, document) for each in operation["parameters"])}
            for operation, document in ((old, self._before), (new, self._after))
        )
        for key, parameter in before.items():
            if key not in after:
                yield f"{place} {key[1]}: is gone"
            else:
                # The schemas of older parameters allow null, which nobody can send in a query.
                old_variants = [each for each in _variants(parameter["schema"]) if each.get("type") != "null"]
                schemas = {"anyOf": old_variants}, after[key]["schema"]
                yield from self._schema(f"{place} {key[1]}", *schemas, sent=True)
        for key, parameter in after.items():
            if parameter.get("required") and not before.get(key, {}).get("required"):
                yield f"{place} {key[1]}: is required"

    def _body(self, place: str, old: Json, new: Json) -> Iterator[str]:
        if new and new.get("required") and not (old and old.get("required")):
            yield f"{place} body: is required"
        if old:
            yield from self._content(f"{place} body", old, new, sent=True)

    def _content(self, place: str, old: Json, new: Json, *, sent: bool) -> Iterator[str]:
        for media_type, content in old.get("content", {}).items():
            there = (new or {}).get("content", {}).get(media_type)
            if there is None:
                yield f"{place}: has no {media_type}"
            else:
                yield from self._schema(place, content.get("schema", {}), there.get("schema", {}), sent=sent)
        if new is None and "content" not in old:
            yield f"{place}: is gone"

    def _schema(self, place: str, old: Json, new: Json, *, sent: bool) -> Iterator[str]:
        pair = (old.get("$ref", ""), new.get("$ref", ""), sent)
        if all(pair[:2]):
            if pair in self._seen:
                return
            self._seen.add(pair)
        old, new = _resolved(old, self._before), _resolved(new, self._after)
        if len(_variants(old)) == 1 and "anyOf" in old:
            old = _resolved(old["anyOf"][0], self._before)
        olds, news = _variants(old), _variants(new)
        if len(olds) > 1 or len(news) > 1:
            # Each variant that one side may send must be one that the other side knows.
            for variant in olds if sent else news:
                known = news if sent else olds
                pairs = ((variant, other) if sent else (other, variant) for other in known)
                if all([*Comparison(self._before, self._after)._schema("", *each, sent=sent)] for each in pairs):
                    yield f"{place}: a variant is {'refused' if sent else 'new'}"
            return
        yield from _other_values(place, old, new, sent=sent)
        if sent:
            yield from _narrowed(place, old, new)
        if "items" in old and "items" in new:
            yield from self._schema(f"{place}[]", old["items"], new["items"], sent=sent)
        yield from self._properties(place, old, new, sent=sent)

    def _properties(self, place: str, old: Json, new: Json, *, sent: bool) -> Iterator[str]:
        required_before, required_after = set(old.get("required", ())), set(new.get("required", ()))
        for name in sorted(required_after - required_before if sent else required_before - required_after):
            yield f"{place}.{name}: is {'required' if sent else 'not always there'}"
        for name, schema in old.get("properties", {}).items():
            if name in new.get("properties", {}):
                yield from self._schema(f"{place}.{name}", schema, new["properties"][name], sent=sent)
            else:
                yield f"{place}.{name}: is gone"


def _resolved(part: Json, document: Json) -> Json:
    while "$ref" in part:
        found = document
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        part = found
    return part


def _variants(schema: Json) -> list[Json]:
    return schema.get("anyOf") or schema.get("oneOf") or [schema]


def _values(schema: Json) -> set[Json] | None:
    """Return the only values of a schema, None if it allows others."""
    return {schema["const"]} if "const" in schema else set(schema["enum"]) if "enum" in schema else None


def _other_values(place: str, old: Json, new: Json, *, sent: bool) -> Iterator[str]:
    """Compare types and values: the side that receives must know all that the other may send."""
    known, used = (new, old) if sent else (old, new)
    if known.get("type") is not None and known["type"] != used.get("type"):
        yield f"{place}: is {new.get('type')}, not {old.get('type')}"
    values, others = _values(known), _values(used)
    if values is not None and (others is None or not others <= values):
        yield f"{place}: has other values"


def _narrowed(place: str, old: Json, new: Json) -> Iterator[str]:
    for word in _LEAST:
        if word in new and new[word] > old.get(word, float("-inf")):
            yield f"{place}: {word} is {new[word]}"
    for word in _MOST:
        if word in new and new[word] < old.get(word, float("inf")):
            yield f"{place}: {word} is {new[word]}"
    if "pattern" in new and new["pattern"] != old.get("pattern"):
        yield f"{place}: has another pattern"
