"""Types of fields that JSON writes in several ways."""

import pytest

from vitrina.api.http.body import parse_json
from vitrina.api.http.validation import validate_body
from vitrina.api.schemas.notifications import NotificationPreferencesPut
from vitrina.errors import ValidationFailed


@pytest.mark.parametrize("minutes", ["182", "182.0", "1.82e2"])
def test_an_integer_may_have_a_fraction_of_zero(minutes: str) -> None:
    """JSON Schema counts it as an integer (draft 2020-12, validation section 6.1.1)."""
    body = parse_json(f'{{"email": "digest", "digest_minutes": {minutes}}}'.encode())
    made = validate_body(NotificationPreferencesPut, body)
    assert (made.digest_minutes, type(made.digest_minutes)) == (182, int)


@pytest.mark.parametrize("minutes", ["182.5", '"182"', "true", "-0", "1e400", "9e15", "[182]"])
def test_what_is_no_integer_is_refused(minutes: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        validate_body(
            NotificationPreferencesPut, parse_json(f'{{"email": "each", "digest_minutes": {minutes}}}'.encode())
        )
    assert [error.path for error in caught.value.errors] == [("digest_minutes",)]
