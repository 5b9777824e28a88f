"""Phone numbers: from what people write to E.164."""

import phonenumbers


def e164(text: str, country: str | None) -> str | None:
    """The E.164 form of an international number, or of a national one of the `country` (alpha-2).

    None where it is no possible number, or where something would be lost, such as an extension.
    """
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    if number.extension or not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
