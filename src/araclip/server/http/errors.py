"""Answer errors over HTTP in Arabic or English, as the client prefers.

The form is problem details (RFC 9457); below /v1/, it is the error object of OpenAI's API.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from araclip.core.display import shown
from araclip.core.messages import in_arabic

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:araclip:problem:"
ARABIC = re.compile("[\u0621-\u064a]")
UNTRANSLATED = "تفاصيل السبب في الصفحة الإنجليزية وحدها."
PREFIX = "/v1/"
CODES = {"unauthorized": "invalid_api_key", "no-model": "model_not_found", "busy": "rate_limit_exceeded"}
SERVER_ERROR, TOO_MANY = 500, 429


class Kind(NamedTuple):
    """A kind of problem: HTTP status, and title and detail text in English and Arabic.

    A detail may have placeholders in braces, which a `Problem` fills with its fields.
    """

    status: int
    title: str
    detail: str
    title_ar: str
    detail_ar: str


KINDS = {
    "bad-request": Kind(
        400, "The request is malformed", "{reason}", "الطلب غير مفهوم", "{reason}"
    ),
    "bad-query": Kind(
        400, "The query cannot be carried out", "{reason}", "تعذّر تنفيذ البحث", "{reason}"
    ),
    "bad-picture": Kind(
        422, "The picture cannot be used", "{reason}", "تعذّر استعمال الصورة", "{reason}"
    ),
    "invalid": Kind(
        422, "Something in the request is not valid", "{where}: {reason}.",
        "في الطلب قيمة غير صالحة", "{where}: {reason}.",
    ),
    "unauthorized": Kind(
        401, "A token is needed", "Send Authorization: Bearer TOKEN with a token of this server.",
        "يلزم رمز دخول", "تلزم الترويسة Authorization: Bearer TOKEN برمز من رموز هذا الخادم.",
    ),
    "forbidden": Kind(
        403, "Not allowed", "This token lacks the scope '{scope}'.",
        "غير مسموح", "هذا الرمز لا يسمح بذلك: تلزم الصلاحية '{scope}'.",
    ),
    "foreign-origin": Kind(
        403, "A request from another site", "Requests that change something must come from this server's own page.",
        "طلب من موقع آخر", "الطلبات التي تغيّر شيئًا لا تُقبل إلا من صفحة هذا الخادم.",
    ),
    "uploads-off": Kind(
        403, "Uploads are off", "This server accepts no pictures. Start it with --uploads to change that.",
        "الرفع متوقف", "لا يقبل هذا الخادم صورًا، إلا إذا شُغّل بالخيار --uploads.",
    ),
    "not-found": Kind(
        404, "Not found", "There is nothing at this address.", "غير موجود", "لا شيء في هذا العنوان."
    ),
    "no-picture": Kind(
        404, "No such picture", "The gallery has no picture {id}, or its file is gone, changed or larger than 300 MB.",
        "لا توجد هذه الصورة", "لا يحوي المعرض الصورة {id}، أو أن ملفها حُذف أو تغيّر أو يزيد على 300 م.ب.",
    ),
    "no-model": Kind(
        404, "No such model", "This server has no model {id}. Its one model is {known}.",
        "لا يوجد هذا النموذج", "لا يوجد النموذج {id} في هذا الخادم. نموذجه الوحيد {known}.",
    ),
    "no-task": Kind(
        422, "No model for this task",
        "This server has no model for the task {task}, only for clip (search by text and by picture). Turn the other "
        "tasks off in Immich's settings for machine learning.",
        "لا يوجد نموذج لهذه المهمة",
        "لا يوجد في هذا الخادم نموذج للمهمة {task}، بل للمهمة clip وحدها (البحث بالنص والصورة). يلزم إيقاف المهام "
        "الأخرى في إعدادات التعلم الآلي في Immich.",
    ),
    "method": Kind(
        405, "Method not allowed", "This address does not accept {method}.",
        "طريقة غير مسموحة", "هذا العنوان لا يقبل {method}.",
    ),
    "slow": Kind(
        408, "The request took too long", "The body must arrive within {seconds} seconds.",
        "استغرق الطلب وقتًا طويلًا", "يجب أن يصل محتوى الطلب خلال {seconds} ثانية.",
    ),
    "busy-writing": Kind(
        409, "The gallery is being written", "Another process is writing the gallery. Try again later.",
        "المعرض قيد التحديث", "عملية أخرى تكتب في المعرض الآن. قد تنجح إعادة المحاولة بعد قليل.",
    ),
    "nothing-to-index": Kind(
        409, "There is no folder to index", "Start the server with --index FOLDER.",
        "لا مجلد لفهرسته", "يلزم تشغيل الخادم بالخيار --index FOLDER.",
    ),
    "too-large": Kind(
        413, "Too large", "The request has more than {limit} bytes.", "حجم كبير جدًا", "يزيد الطلب على {limit} بايت."
    ),
    "large-archive": Kind(
        413, "The archive would be too large", "The pictures have {size} MB, the most is {limit} MB. Choose fewer.",
        "الملف كبير جدًا", "حجم الصور {size} م.ب، والحد {limit} م.ب. يمكن تحديد صور أقل.",
    ),
    "no-archive": Kind(
        404, "No such archive", "It was prepared too long ago, or never. Ask for it again with POST /archives.",
        "لا يوجد هذا الملف", "مضى وقت طويل على إعداده، أو لم يُعدّ قط. يمكن طلبه من جديد.",
    ),
    "read-only": Kind(
        403, "This gallery is only read", "{reason}", "لا يُكتب في هذا المعرض", "{reason}",
    ),
    "no-paths": Kind(
        403, "Paths are not shown",
        "This server does not tell where files lie. Start it with --show-paths to change that.",
        "لا تُعرض المسارات", "لا يذكر هذا الخادم أماكن الملفات. يغيّر ذلك تشغيله بالخيار --show-paths.",
    ),
    "media-type": Kind(
        415, "The body is in a form that is not taken", "Send the body with {expected}.",
        "شكل المحتوى غير مقبول", "يُقبل المحتوى هكذا: {expected}.",
    ),
    "range": Kind(
        416, "No such range", "The picture has {size} bytes.", "لا يوجد هذا المدى", "حجم الصورة {size} بايت."
    ),
    "wrong-host": Kind(
        421, "Not this server's name", "The server does not answer to this name. Start it with --allow-host NAME.",
        "ليس اسم هذا الخادم", "لا يجيب هذا الخادم بهذا الاسم، إلا إذا شُغّل بالخيار --allow-host NAME.",
    ),
    "busy": Kind(
        429, "Too many requests at once", "Try again in {seconds} s.", "طلبات كثيرة في آن واحد",
        "يمكن إعادة المحاولة بعد {seconds} ث."
    ),
    "long-headers": Kind(
        431, "The headers are too long", "The first line and the headers have more than {limit} bytes.",
        "الترويسات طويلة جدًا", "يزيد السطر الأول والترويسات على {limit} بايت.",
    ),
    "internal": Kind(
        500, "Internal server error", "The error is in the server's log.", "خطأ في الخادم", "سُجّل الخطأ في سجل الخادم."
    ),
    "gallery": Kind(
        503, "The gallery cannot be used now", "Try again soon; the server's log says why.",
        "لا يمكن استعمال المعرض الآن", "قد تنجح إعادة المحاولة بعد قليل؛ السبب في سجل الخادم.",
    ),
    "starting": Kind(
        503, "Not ready", "The server is starting or stopping. Try again soon.",
        "غير جاهز", "الخادم يبدأ العمل أو يتوقف. يمكن إعادة المحاولة بعد قليل.",
    ),
}  # fmt: skip


class Problem(HTTPException):
    """Raised when a request is refused or fails: names one of KINDS, and holds the values that fill its detail text."""

    def __init__(self, kind: str, *, headers: Mapping[str, str] | None = None, **fields: object) -> None:
        super().__init__(KINDS[kind].status, kind, headers)
        self.kind = kind
        self.fields = fields

    def body(self, language: str) -> dict[str, Any]:
        """Return the problem details (RFC 9457) in "ar" or "en"."""
        kind = KINDS[self.kind]
        fields = self.fields
        if language == "ar":
            said = fields.get("reason", "")
            reason = str(fields.get("reason_ar") or in_arabic(said))
            # a reason that is known only in English is left out of an Arabic answer
            if reason == said and not ARABIC.search(said):
                reason = UNTRANSLATED
            title, detail = kind.title_ar, kind.detail_ar
        else:
            title, detail, reason = kind.title, kind.detail, str(fields.get("reason", ""))
        fields = {**fields, "reason": shown(reason)}
        return {"type": TYPE + self.kind, "title": title, "status": kind.status, "detail": detail.format(**fields)}


def language_of(accepted: str) -> str:
    """Return "ar" or "en", whichever an Accept-Language header prefers; "en" if it names neither."""
    best, language = 0.0, "en"
    for part in accepted.split(","):
        name, _, parameters = part.strip().partition(";")
        weight = 1.0
        if parameters.strip().startswith("q="):
            try:
                weight = float(parameters.strip()[2:])
            except ValueError:
                weight = 0.0
        primary = name.strip().lower().partition("-")[0]
        if primary in ("ar", "en") and weight > best:
            best, language = weight, primary
    return language


def answer(problem: Problem, scope: Scope) -> Response:
    """Return the response for a problem: the path decides its form, the header Accept-Language its language."""
    language = language_of(Headers(scope=scope).get("accept-language", ""))
    headers = {"Content-Language": language, "Vary": "Accept-Language", "Cache-Control": "no-store"}
    status, body, media_type = problem.status_code, problem.body(language), MEDIA_TYPE
    if scope["path"].startswith(PREFIX):  # the error object of OpenAI's API; `param` is the field that is at fault
        group = "rate_limit_error" if status == TOO_MANY else "invalid_request_error"
        param, code = problem.fields.get("where"), CODES.get(problem.kind, problem.kind.replace("-", "_"))
        body = {
            "error": {
                "message": body["detail"],
                "type": "server_error" if status >= SERVER_ERROR else group,
                "param": None if param is None else str(param),
                "code": code,
            }
        }
        media_type = JSONResponse.media_type
    return JSONResponse(body, status, {**headers, **(problem.headers or {})}, media_type=media_type)
