"""Translate the errors of pydantic's validation, and of our own validators, into Arabic, by their types. Pure."""

from collections.abc import Mapping
from typing import Any

_VALIDATION = {  # pydantic's error types, with the fields of their context
    "missing": "قيمة لازمة لم تُذكر",
    "extra_forbidden": "قيمة غير معروفة",
    "greater_than_equal": "يجب ألا تقل القيمة عن {ge}",
    "less_than_equal": "يجب ألا تزيد القيمة على {le}",
    "int_parsing": "يلزم عدد صحيح",
    "int_type": "يلزم عدد صحيح",
    "int_from_float": "يلزم عدد صحيح",
    "float_parsing": "يلزم عدد",
    "float_type": "يلزم عدد",
    "finite_number": "يلزم عدد محدود",
    "bool_parsing": "يلزم true أو false",
    "string_type": "يلزم نص",
    "string_too_long": "النص أطول من {max_length}",
    "string_pattern_mismatch": "النص ليس على الشكل المطلوب",
    "too_long": "العناصر أكثر من {max_length}",
    "too_short": "العناصر أقل من {min_length}",
    "list_type": "تلزم قائمة",
    "literal_error": "القيمة ليست من القيم الممكنة: {expected}",
    "json_invalid": "المحتوى ليس JSON صحيحًا",
    "model_attributes_type": "يلزم كائن JSON",
    "dict_type": "يلزم كائن JSON",
    "empty_input": "القائمة فارغة. يلزم نص واحد على الأقل",
    "empty_text": "العنصر {number} نص فارغ",
    "no_text": "العنصر {number} ليس نصًا",
    "token_ids": "لا تُقبل أرقام الرموز، فلكل نموذج رموزه. تُرسل النصوص نفسها",
    "too_many_inputs": "عناصر القائمة {count}، والحد الأقصى {most}. تُرسل في عدة طلبات",
    "value_error": "القيمة غير صالحة",
}


def validation_in_arabic(kind: str, context: Mapping[str, Any]) -> str:
    """Return the Arabic description of a pydantic error type."""
    return _VALIDATION.get(kind, "القيمة غير صالحة").format_map(context)
