"""Arabic translations of the package's error messages and of pydantic's. Pure.

Each message is matched by a regular expression and translated. A test provokes every one of them, and so fails when one
changes.
"""

import re
from collections.abc import Mapping
from typing import Any

_FORMS: tuple[tuple[str, str], ...] = (
    # queries
    (r"the query is empty\..*example: (.+)", "البحث فارغ. يلزم وصف ما يظهر في الصورة، مثل: {0}"),
    (r"the query has (\d+) terms, the most is (\d+)\..*", "أجزاء البحث {0}، والحد الأقصى {1}. يلزم حذف بعضها."),
    (r"the query has (\d+) characters, the most is (\d+)\..*", "حروف البحث {0}، والحد الأقصى {1}. يلزم اختصاره."),
    (r"the query «(.*)» only pushes pictures away.*shows: (.+)",
     "البحث «{0}» يُبعد صورًا فقط، بصورة أو بوزن أقل من 1. يلزم ذكر ما يظهر في الصورة: {1}"),
    (r"the query «(.*)» opens a quotation mark.*Add (.) where.*",
     "في البحث «{0}» علامة اقتباس لم تُغلق. تُضاف {1} في موضع إغلاقها، أو \\ قبل علامة الفتح."),
    (r"the query «(.*)» has an empty part.*",
     "في البحث «{0}» جزء فارغ: إشارة أو وزن أو علامتا اقتباس بلا كلام. يُكتب ما ينقص، أو \\ قبل الإشارة."),
    (r"the query names a file \((.*)\), which.*",
     "يذكر البحث ملفًا ({0}) لا يمكن فتحه من هنا. تُرسل الصورة نفسها، أو تُكتب \\ قبل الحرف الأول للبحث عن النص."),
    (r"weight (.+) is out of range; it goes from (.+) to (.+?)\. .*",
     "الوزن {0} خارج المدى؛ المدى من {1} إلى {2}. إن لم يكن وزنًا تُكتب \\ قبل النقطتين."),
    (r"the terms of the query cancel.*", "أجزاء البحث يلغي بعضها بعضًا. يلزم حذف واحد منها، أو إعطاؤها أوزانًا."),
    (r"k is (\d+), the most is (\d+)\..*", "العدد k هو {0}، وأقصاه {1}. تُطلب صفحات متتالية بـ offset."),
    # filters
    (r"(\w+) is '(.*)'; write a date as.*", "قيمة {0} هي '{1}'؛ يُكتب التاريخ مثل 2023 أو 2023-05 أو 2023-05-17."),
    (r"'(.*)' is no filter; write.*", "'{0}' ليست تصفية؛ الشكل KEY=VALUE، مثل captured=2023..2024."),
    (r"'(.*)' is given twice; join.*", "ورد '{0}' مرتين؛ يُجمعان، مثل format=JPEG,PNG."),
    (r"no filter '(.*)'\. Choose among (.+)\.", "لا توجد تصفية '{0}'. الممكن: {1}."),
    (r"'(.*)' is no size; write.*", "'{0}' ليس حجمًا؛ يُكتب بالبايتات أو بوحدة: 200000 أو 200kB أو 1.5MB."),
    (r"no picture format '(.*)'\. Choose among (.+)\.", "لا توجد صيغة صور '{0}'. الممكن: {1}."),
    (r"no orientation '(.*)'\. Choose one of (.+)\.", "لا يوجد اتجاه '{0}'. الممكن: {1}."),
    (r"\w+ (\S+) is (?:after|above) \w+ (\S+): nothing can match.*", "{0} أكبر من {1}، فلا شيء يطابق."),
    (r"near is .*; write latitude, longitude, distance.*",
     "تُكتب near بخط العرض ثم الطول ثم المسافة: 24.7,46.7,10km أو 24.7136,46.6753,500m."),
    (r"near is at .*; latitudes go from.*", "خط العرض من ‎-90 إلى 90 وخط الطول من ‎-180 إلى 180، بهذا الترتيب."),
    (r"near asks for .*", "المسافة في near من سنتيمتر واحد إلى 20040 كم."),
    (r"(camera|lens|place|name) is '.*', without a word.*", "لا كلمة في {0}. يلزم جزء من الاسم."),
    (r"hidden is '.*'; write yes.*", "قيمة hidden هي yes (المخفية وحدها) أو no أو any."),
    # pictures
    (r".*?: (.+?) is read by another package\. (.+)", "صيغة {0} تحتاج حزمة إضافية: {1}"),
    (r".*?: (\d+) × (\d+) is (\d+) megapixels, the limit (?:of .+ )?is (\d+)\..*",
     "أبعاد الصورة {0} × {1}، أي {2} ميغابكسل، والحد {3}. قد تنفع نسخة أصغر."),
    (r".*?: (\d+|too many) megapixels, the limit is (\d+)\..*",
     "الصورة كبيرة جدًا؛ الحد {1} ميغابكسل. قد تنفع نسخة أصغر."),
    (r".*?: not a (.+?) picture(?: \(.*\))?\. .*", "ليست صورة من الصيغ: {0}. قد ينفع تحويلها إلى JPEG أو PNG."),
    (r".*?: (\S+) megapixels in (\S+) passes, the limit is (\S+) passes.*",
     "في الصورة {0} ميغابكسل تُفك على {1} مرورًا، والحد {2}. قد ينفع حفظها من جديد."),
    (r".*?: (\d+) × (\d+) \(.* takes (\S+) GB to decode, and.*",
     "فك صورة {0} × {1} يحتاج {2} غيغابايت، ولا يتسع لها ما بقي."),
    (r".*?: damaged \((\S+) EXIF blocks.*", "الصورة تالفة: فيها {0} كتلة EXIF."),
    (r".*?not enough memory to decode it.*", "لا تكفي الذاكرة لفك الصورة. قد تنفع نسخة أصغر."),
    (r".*?: damaged \((.*)\)\. Restore.*", "الصورة تالفة."),
    (r".*? takes more than (\S+) s of processor time.*",
     "استغرقت قراءة الصورة أكثر من {0} ث. قد تنفع نسخة أصغر أو أبسط."),
    (r".*? takes (\S+) GB to decode, the limit is (\S+) GB\..*",
     "يحتاج فك الصورة إلى {0} غيغابايت، والحد {1}. قد تنفع نسخة أصغر."),
    (r".*?: damaged or cut short \((.*)\)\..*", "الصورة تالفة أو ناقصة."),
    (r".*?: the picture is empty.*", "الصورة فارغة."),
    (r"the picture took more than (\S+) s to decode.*", "استغرق فك الصورة أكثر من {0} ث. قد تنفع نسخة أصغر أو أبسط."),
    (r"the picture could not be decoded within.*",
     "لم يمكن فك الصورة بما يُسمح لها من ذاكرة ووقت. قد تنفع نسخة أصغر."),
    (r"a picture is given as data:.*",
     "تُعطى الصورة بالشكل data:image/…;base64,…؛ ولا يُجلب شيء من العناوين."),
    (r"the picture's data URI is not valid base64.*", "ترميز base64 للصورة غير صحيح."),
    # embeddings
    (r"dimensions is (-?\d+); this model makes (\d+)-wide.*", "قيمة dimensions هي {0}؛ وعرض متجهات النموذج {1} فقط."),
    (r"dimensions is (-?\d+); this model makes vectors of (.+) numbers.*",
     "قيمة dimensions هي {0}؛ وأطوال متجهات النموذج {1}."),
    (r"the request has (\d+) pictures, the most is (\d+)\..*",
     "في الطلب {0} صورة، وأقصى عدد {1}. تُرسل في عدة طلبات."),
    (r"a text has (\d+) characters, the most is (\d+).*", "في أحد النصوص {0} حرفًا، وأقصى عدد {1}. يُرسل أوله."),
)  # fmt: skip
_PATTERNS = tuple((re.compile(form, re.DOTALL), arabic) for form, arabic in _FORMS)

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
    "too_many_inputs": "في القائمة {count} عنصرًا، وأقصى عدد {most}. تُرسل في عدة طلبات",
    "value_error": "القيمة غير صالحة",
}


def in_arabic(message: str) -> str:
    """The Arabic translation of a message; one without a translation is returned unchanged."""
    for pattern, arabic in _PATTERNS:
        if match := pattern.fullmatch(message):
            return arabic.format(*match.groups())
    return message


def validation_in_arabic(kind: str, context: Mapping[str, Any]) -> str:
    """The Arabic description of a pydantic error type."""
    return _VALIDATION.get(kind, "القيمة غير صالحة").format_map(context)
