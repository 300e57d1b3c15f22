"""Messages to people about queries, filters, pictures and requests, in English and Arabic, with the same keys.

An error carries the English text, which keeps its key and its fields; `in_arabic` translates it. All functions are
pure.
"""

from collections.abc import Mapping
from typing import Any

from araclip.errors import AraCLIPError

ENGLISH = {
    # messages about queries
    "query empty": "the query is empty. Type what the picture shows, for example: {example}",
    "query letters": "the query has {letters:,} letters, the most is {most:,}. Leave some out.",
    "query characters": "the query has {characters} characters, the most is {most}. Leave some out.",
    "query terms": "the query has {terms} terms, the most is {most}. Leave some out.",
    "query only minus": "the query «{query}» only pushes pictures away, by a picture or a weight below 1. Add what the "
    "picture shows: {example}",
    "query quotation": "the query «{query}» opens a quotation mark and never closes it. Add {closing} where it ends, "
    "or write \\ before the mark that opens.",
    "query part": "the query «{query}» has an empty part: a sign, a weight or quotation marks with nothing beside "
    "them. Complete it, or \\ before the sign.",
    "query encoding": "the query «{query}» holds a byte or half of a character that is no text. Type it again in "
    "UTF-8.",
    "query file": "the query names a file ({file}), which cannot be opened from here. Give the picture itself, or "
    "write \\ before the first character to search for this text.",
    "query weight": "weight {weight} is out of range; it goes from {least} to {most:.0f}. If it is text, write \\ "
    "before the colon.",
    "query cancels": "the terms of the query cancel each other out. Leave one out, or give them weights.",
    "query quality": "the model does not tell colours, qualities, places and dates well enough to leave them out: "
    "pictures with «{words}» remain",
    "k": "k is {k}, the most is {most}. Ask for pages with offset.",
    "k least": "k is {k}; it must be at least 1.",
    "offset least": "offset is {offset}; it must be 0 or more.",
    "threshold": "threshold is {threshold}; it is a relevance from 0 (everything) to 1.",
    # messages about filters
    "filter form": "'{given:.80}' is no filter; write KEY=VALUE, for example captured=2023..2024.",
    "filter twice": "'{key:.80}' is given twice; join the two, for example format=JPEG,PNG.",
    "filter unknown": "no filter '{key:.80}'. Choose among {known}.",
    "date range": "{name}_from {first} is after {name}_to {last}: nothing can match. Swap them.",
    "size range": "min_size {first} is above max_size {last}: nothing can match.",
    "date": "{name} is '{given:.80}'; write a date as 2023, 2023-05, 2023-05-17 or 2023-05-17T18:30.",
    "hidden": "hidden is '{given:.80}'; write yes (only hidden pictures), no (only the others) or any.",
    "near form": "near is '{given:.80}'; write latitude, longitude, distance: 24.7,46.7,10km or 24.7136,46.6753,500m.",
    "near place": "near is at {latitude:g}, {longitude:g}; latitudes go from -90 to 90, longitudes from -180 to 180, "
    "in this order.",
    "near distance": "near asks for {metres:g} m around; the distance goes from 1 cm to {most} km.",
    "words": "{name} is '{given:.80}', without a word or a number. Write what it is called.",
    "words letters": "{name} has {letters} letters, the most is {most}. Leave some words out.",
    "scenes": "scenes is '{given:.80}'; write all (every scene of a video that is found) or best.",
    "size": "'{given:.80}' is no size; write bytes or a unit: 200000, 200kB, 1.5MB.",
    "range empty": "{key}=.. has no end; write one or both, as in {key}=FIRST.., {key}=..LAST or {key}=FIRST..LAST.",
    "size most": "'{given:.80}' is more than any file can have; the most is {most} bytes.",
    "choice": "no {name} '{given:.80}'. Choose one of {known}.",
    "value folder": "no picture has the folder '{given:.80}'. There are: {known}.",
    "value camera": "no picture has the camera '{given:.80}'. There are: {known}.",
    "value lens": "no picture has the lens '{given:.80}'. There are: {known}.",
    "value place": "no picture has the place '{given:.80}'. There are: {known}.",
    "format": "no picture format '{given:.80}'. Choose among {known}.",
    # messages about how a search was understood
    "search also": "also searched for: {words}",
    "search excluded": "left out: {words}",
    "search date": "date «{words}»: {where}",
    "search folder": "folder «{words}»: {where}",
    "search outside": "without the folder «{words}»: {where}",
    "search place": "place «{words}»: {where}",
    "search kind": "only videos («{words}»)",
    "search order": "by date («{words}»): {where}",
    "search date none": "no picture has the date «{words}», so it was searched for as words",
    "search folder none": "no picture of the folder «{words}» passes, so it was searched for as words",
    "search place none": "no picture was taken at «{words}», so it was searched for as words",
    "search kind none": "there are no videos («{words}»), so it was searched for as words",
    "search date together": "no picture has the date «{words}» and the rest, so it was searched for as words",
    "search folder together": "no picture is in the folder «{words}» with the rest, so it was searched for as words",
    "search place together": "no picture was taken at «{words}» with the rest, so it was searched for as words",
    "search kind together": "no videos («{words}») pass with the rest, so it was searched for as words",
    "search literal": "(--literal searches for the words as typed)",
    "search suggestion": "did you mean: {text}",
    "search away": "Not one picture file can be found in {folder}. Is a drive unplugged? They are found again when it "
    "is back.",
    "search nothing": "Nothing found. Try fewer filters, a lower --threshold or a smaller --offset.",
    "search weak": "Nothing here fits well; these are the nearest. --threshold 0.2 leaves out the weak ones.",
    # the menu that `araclip` shows if it is called without a command
    "menu search": "search the pictures in {folder}",
    "menu index": "index the pictures in {folder}, or bring the index up to date",
    "menu serve": "serve the search page for your browser",
    "menu help": "list all commands",
    "menu query": "What does the picture show?",
    # messages about pictures
    "picture package": "{name}: {format} is read by another package. {remedy}",
    "picture format": "{name}: not a {known} picture{reason}. Convert it to JPEG or PNG, or remove it.",
    "picture pixels": "{name}: {width} × {height} is {megapixels:.0f} megapixels, the limit is {most:.0f}. Save a "
    "smaller copy and index that.",
    "picture pixels of": "{name}: {width} × {height} is {megapixels:.0f} megapixels, the limit of {format} is "
    "{most:.0f}. Save a smaller copy and index that.",
    "picture bomb": "{name}: {megapixels} megapixels, the limit is {most:.0f}. Save a smaller copy and index that.",
    "picture passes": "{name}: {megapixels:.0f} megapixels in {passes:,} passes, the limit is {most:,} passes. Save it "
    "again and index that.",
    "picture bytes": "{name}: {size} takes {gigabytes:.1f} GB to decode, the limit is {most:.2f} GB. Save a smaller or "
    "plainer copy and index that.",
    "picture memory": "{name}: {size} takes {gigabytes:.1f} GB to decode, and of {free:.1f} GB of free memory "
    "{share:.0%} may be used. Close other programs, or save a smaller copy and index that.",
    "picture no memory": "{name}: not enough memory to decode it. Save a smaller copy.",
    "picture seconds": "{name}: takes more than {seconds:.0f} s of processor time to read. Save a smaller or plainer "
    "copy.",
    "picture empty": "{name}: the picture is empty ({width} × {height}).",
    "picture structure": "{name}: damaged ({reason}). Restore it from a copy, or remove it.",
    "picture damaged": "{name}: damaged or cut short ({reason}). Restore it from a copy, or remove it.",
    "decoding seconds": "the picture took more than {seconds:.0f} s to decode. Save a smaller or plainer copy.",
    "decoding ended": "the picture could not be decoded within the memory and time it may take. Save a smaller copy.",
    # messages about requests to the server
    "two lengths": "the request has both Content-Length and Transfer-Encoding. Send one of them.",
    "data URI": "a picture is given as data:image/…;base64,…; nothing is fetched from URLs.",
    "base64": "the picture's data URI is not valid base64.",
    "text letters": "a text has {letters} characters, the most is {most}. Send its beginning.",
    "pictures": "the request has {pictures} pictures, the most is {most}. Send several requests.",
    "dimensions": "dimensions is {given}; this model makes {width}-wide vectors only.",
    "dimensions several": "dimensions is {given}; this model makes vectors of {known} numbers.",
}

ARABIC = {
    # messages about queries
    "query empty": "البحث فارغ. يلزم وصف ما يظهر في الصورة، مثل: {example}",
    "query letters": "حروف البحث {letters}، والحد الأقصى {most}. يلزم اختصاره.",
    "query characters": "حروف البحث {characters}، والحد الأقصى {most}. يلزم اختصاره.",
    "query terms": "أجزاء البحث {terms}، والحد الأقصى {most}. يلزم حذف بعضها.",
    "query only minus": "البحث «{query}» يُبعد صورًا فقط، بصورة أو بوزن أقل من 1. يلزم ذكر ما يظهر في الصورة: {example}",
    "query quotation": "في البحث «{query}» علامة اقتباس لم تُغلق. تُضاف {closing} في موضع إغلاقها، أو \\ قبل علامة "
    "الفتح.",
    "query part": "في البحث «{query}» جزء فارغ: إشارة أو وزن أو علامتا اقتباس بلا كلام. يُكتب ما ينقص، أو \\ قبل "
    "الإشارة.",
    "query encoding": "في البحث «{query}» بايت أو نصف حرف ليس نصًا. يُكتب من جديد بترميز UTF-8.",
    "query file": "يذكر البحث ملفًا ({file}) لا يمكن فتحه من هنا. تُرسل الصورة نفسها، أو تُكتب \\ قبل الحرف الأول للبحث "
    "عن النص.",
    "query weight": "الوزن {weight} خارج المدى؛ المدى من {least} إلى {most:.0f}. إن لم يكن وزنًا تُكتب \\ قبل النقطتين.",
    "query cancels": "أجزاء البحث يلغي بعضها بعضًا. يلزم حذف واحد منها، أو إعطاؤها أوزانًا.",
    "query quality": "لا يميّز النموذج الألوان والصفات والأماكن والتواريخ بما يكفي لاستبعادها، فبقيت صور فيها «{words}»",
    "k": "العدد k هو {k}، وأقصاه {most}. تُطلب صفحات متتالية بـ offset.",
    "k least": "العدد k هو {k}، وأقله 1.",
    "offset least": "العدد offset هو {offset}، وأقله 0.",
    "threshold": "قيمة threshold هي {threshold}، وهي صلة من 0 (كل الصور) إلى 1.",
    # messages about filters
    "filter form": "ليست تصفية: '{given:.80}'؛ الشكل KEY=VALUE، مثل captured=2023..2024.",
    "filter twice": "ورد '{key:.80}' مرتين؛ يُجمعان، مثل format=JPEG,PNG.",
    "filter unknown": "لا توجد تصفية '{key:.80}'. الممكن: {known}.",
    "date range": "بداية {name} ({first}) بعد نهايته ({last})، فلا شيء يطابق. يلزم تبديلهما.",
    "size range": "أصغر حجم (min_size) هو {first}، وهو أكبر من {last} (max_size)، فلا شيء يطابق.",
    "date": "قيمة {name} هي '{given:.80}'؛ يُكتب التاريخ مثل 2023 أو 2023-05 أو 2023-05-17 أو 2023-05-17T18:30.",
    "hidden": "قيمة hidden هي yes (المخفية وحدها) أو no (سواها) أو any، لا '{given:.80}'.",
    "near form": "تُكتب near بخط العرض ثم الطول ثم المسافة: 24.7,46.7,10km أو 24.7136,46.6753,500m.",
    "near place": "خط العرض من ‎-90 إلى 90 وخط الطول من ‎-180 إلى 180، بهذا الترتيب.",
    "near distance": "المسافة في near من سنتيمتر واحد إلى {most} كم.",
    "words": "لا كلمة ولا عدد في {name}. يلزم جزء من الاسم.",
    "words letters": "حروف {name} هي {letters}، والحد الأقصى {most}. يلزم اختصارها.",
    "scenes": "قيمة scenes هي all (كل ما يطابق من مشاهد الفيديو) أو best، لا '{given:.80}'.",
    "size": "ليس حجمًا: '{given:.80}'؛ يُكتب بالبايتات أو بوحدة: 200000 أو 200kB أو 1.5MB.",
    "range empty": "ليس في {key}=.. بداية ولا نهاية؛ اكتب إحداهما أو كلتيهما: "
    "{key}=FIRST.. أو {key}=..LAST أو {key}=FIRST..LAST.",
    "size most": "الحجم '{given:.80}' أكبر من أي ملف؛ والحد {most} بايت.",
    "choice": "لا توجد القيمة '{given:.80}' في {name}. الممكن: {known}.",
    "value folder": "لا صورة في المجلد '{given:.80}'. الموجود: {known}.",
    "value camera": "لا صورة بالكاميرا '{given:.80}'. الموجود: {known}.",
    "value lens": "لا صورة بالعدسة '{given:.80}'. الموجود: {known}.",
    "value place": "لا صورة في المكان '{given:.80}'. الموجود: {known}.",
    "format": "لا توجد صيغة صور '{given:.80}'. الممكن: {known}.",
    # messages about how a search was understood
    "search also": "بحثنا أيضًا عن: {words}",
    "search excluded": "استبعدنا: {words}",
    "search date": "التاريخ «{words}»: {where}",
    "search folder": "المجلد «{words}»: {where}",
    "search outside": "دون المجلد «{words}»: {where}",
    "search place": "المكان «{words}»: {where}",
    "search kind": "الفيديو فقط («{words}»)",
    "search order": "بحسب التاريخ («{words}»): {where}",
    "search date none": "التاريخ «{words}»: لا صور، فبحثنا عن الكلمات",
    "search folder none": "المجلد «{words}»: لا صور، فبحثنا عن الكلمات",
    "search place none": "المكان «{words}»: لا صور، فبحثنا عن الكلمات",
    "search kind none": "«{words}»: لا فيديو، فبحثنا عن الكلمات",
    "search date together": "التاريخ «{words}» مع بقية الشروط: لا صور، فبحثنا عن الكلمات",
    "search folder together": "المجلد «{words}» مع بقية الشروط: لا صور، فبحثنا عن الكلمات",
    "search place together": "المكان «{words}» مع بقية الشروط: لا صور، فبحثنا عن الكلمات",
    "search kind together": "«{words}» مع بقية الشروط: لا فيديو، فبحثنا عن الكلمات",
    "search literal": "(الخيار --literal يبحث عن الكلمات كما كُتبت)",
    "search suggestion": "هل تقصد: {text}",
    "search away": "لا يوجد أي ملف من ملفات الصور في {folder}. هل فُصل القرص؟ ستظهر الصور من جديد عند عودته.",
    "search nothing": "لا نتائج. قد ينفع تقليل التصفية، أو --threshold أقل، أو --offset أصغر.",
    "search weak": "لا شيء هنا يطابق البحث تمامًا، وهذه أقرب الصور. يستبعد --threshold 0.2 الضعيفة منها.",
    # the menu that `araclip` shows if it is called without a command
    "menu search": "البحث في صور {folder}",
    "menu index": "فهرسة صور {folder}، أو تحديث الفهرس",
    "menu serve": "تشغيل صفحة البحث للمتصفح",
    "menu help": "كل الأوامر",
    "menu query": "ماذا يظهر في الصورة؟",
    # messages about pictures
    "picture package": "صيغة {format} تحتاج إلى حزمة إضافية: {remedy}",
    "picture format": "ليست صورة من الصيغ: {known}. قد ينفع تحويلها إلى JPEG أو PNG.",
    "picture pixels": "أبعاد الصورة {width} × {height}، أي {megapixels:.0f} ميغابكسل، والحد {most:.0f}. قد تنفع نسخة "
    "أصغر.",
    "picture pixels of": "أبعاد الصورة {width} × {height}، أي {megapixels:.0f} ميغابكسل، والحد لصيغة {format} هو "
    "{most:.0f}. قد تنفع نسخة أصغر.",
    "picture bomb": "الصورة كبيرة جدًا؛ الحد {most:.0f} ميغابكسل. قد تنفع نسخة أصغر.",
    "picture passes": "مراحل فك الصورة ({megapixels:.0f} ميغابكسل) عددها {passes:,}، والحد {most:,}. قد ينفع حفظها من "
    "جديد.",
    "picture bytes": "يحتاج فك الصورة إلى {gigabytes:.1f} غيغابايت، والحد {most:.2f}. قد تنفع نسخة أصغر.",
    "picture memory": "يحتاج فك الصورة إلى {gigabytes:.1f} غيغابايت، والمتاح {share:.0%} من الذاكرة الخالية "
    "({free:.1f} غيغابايت). قد ينفع إغلاق برامج أخرى، أو نسخة أصغر.",
    "picture no memory": "لا تكفي الذاكرة لفك الصورة. قد تنفع نسخة أصغر.",
    "picture seconds": "استغرقت قراءة الصورة أكثر من {seconds:.0f} ث. قد تنفع نسخة أصغر أو أبسط.",
    "picture empty": "الصورة فارغة.",
    "picture structure": "الصورة تالفة.",
    "picture damaged": "الصورة تالفة أو ناقصة.",
    "decoding seconds": "استغرق فك الصورة أكثر من {seconds:.0f} ث. قد تنفع نسخة أصغر أو أبسط.",
    "decoding ended": "لم يمكن فك الصورة بما يُسمح لها من ذاكرة ووقت. قد تنفع نسخة أصغر.",
    # messages about requests to the server
    "two lengths": "في الطلب Content-Length وTransfer-Encoding معًا. يلزم واحد منهما.",
    "data URI": "تُعطى الصورة بالشكل data:image/…;base64,…؛ ولا يُجلب شيء من العناوين.",
    "base64": "ترميز base64 للصورة غير صحيح.",
    "text letters": "حروف أحد النصوص {letters}، والحد الأقصى {most}. يُرسل أوله.",
    "pictures": "صور الطلب {pictures}، والحد الأقصى {most}. تُرسل في عدة طلبات.",
    "dimensions": "قيمة dimensions هي {given}؛ وطول متجهات النموذج {width} فقط.",
    "dimensions several": "قيمة dimensions هي {given}؛ وأطوال متجهات النموذج {known}.",
}


class Message(str):
    """An English text that remembers its key in ENGLISH and the fields that were filled in."""

    key: str
    fields: dict[str, object]


def message(key: str, /, **fields: object) -> Message:
    """Return the English text with this key, its fields filled in."""
    text = Message(ENGLISH[key].format(**fields))
    text.key, text.fields = key, fields
    return text


def message_of(error: AraCLIPError) -> str:
    """Return an error's text: a `Message`, which `in_arabic` translates, if the error was raised with one."""
    (said,) = error.args[:1] or ("",)
    return said if isinstance(said, Message) else str(error)


def message_as_json(error: AraCLIPError) -> dict[str, object]:
    """Return an error's message as a JSON object for another process, which reads it with `message_from_json`."""
    said = message_of(error)
    return {"message": said} | ({"key": said.key, "fields": said.fields} if isinstance(said, Message) else {})


def message_from_json(about: Mapping[str, Any]) -> str:
    """Return the message in a JSON object that another process has made with `message_as_json`.

    The other process decodes untrusted files and may send anything: without a known key and its fields, the message is
    returned as plain text.
    """
    try:
        return message(about["key"], **about["fields"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return str(about.get("message"))


def in_arabic(text: object) -> str:
    """Return a Message in Arabic; a plain text is returned as it is."""
    return ARABIC[text.key].format(**text.fields) if isinstance(text, Message) else str(text)
