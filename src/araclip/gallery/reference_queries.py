"""The reference queries with which relevance is calibrated: everyday queries and nonsense.

Their vectors are cached beside the catalogue, for each model, so that a new process has only its own query to encode.
"""

import contextlib
import hashlib
from pathlib import Path

import numpy as np

from araclip.core import atomic
from araclip.gallery.relevance import ReferenceVectors
from araclip.models.encoder_base import Encoder, text_vectors

VERSION = 1  # raise it when the everyday or the nonsense queries change
NONSENSE = 64  # how many nonsense queries there are

EVERYDAY = (
    """
قطة، كلب يجري على العشب، طفل يضحك، امرأة تحمل مظلة، رجل يركب دراجة، سيارة حمراء في الشارع
غروب الشمس فوق البحر، جبل مغطى بالثلج، شجرة كبيرة في الحقل، بيت قديم، طعام على طاولة، فنجان قهوة، كرة قدم
مباراة كرة سلة، طائرة في السماء، قطار، قارب في البحر، حصان يجري، طيور على غصن، زهور ملونة، مدينة في الليل
سوق مزدحم، مسجد، جسر فوق نهر، شلال، صحراء ورمال، جمل، أطفال يلعبون في الحديقة، عائلة على الشاطئ، عروس وعريس
حفلة عيد ميلاد، رجل عجوز جالس على مقعد، فتاة ترقص، رجل يعزف على الجيتار، مكتبة فيها كتب، حاسوب على مكتب
هاتف محمول، ساعة يد، حذاء رياضي، ملابس معلقة، غرفة نوم، مطبخ، كرسي خشبي، نافذة مفتوحة، باب أزرق
لوحة فنية على جدار، كتابة على لافتة، خريطة، وثيقة ورقية، صورة شاشة، رسم كرتوني، شعار شركة، فاكهة طازجة، بيتزا
كعكة شوكولاتة، سلطة خضراء، سمكة، فراشة، أسد، فيل، قرد، دب، خروف في المرعى، بقرة، دجاجة، نحلة على زهرة
دراجة نارية، شاحنة، حافلة في المدينة، مطار، ملعب رياضي، سباح في المسبح، متزلج على الثلج، راكب أمواج
متسلق على صخرة، عداء في سباق، جندي، طبيب في مستشفى، معلم في الفصل، طباخ في المطعم، عامل بناء، حشد من الناس
مظاهرة في الشارع، ألعاب نارية، قمر وسماء ونجوم، غيوم بيضاء، مطر، ثلج يتساقط، نار مشتعلة، غابة كثيفة
بحيرة هادئة، حديقة فيها نافورة، قلعة قديمة، برج عال، ناطحات سحاب، طريق سريع، ظل على الأرض، وجه امرأة عن قرب
يد تمسك قلما، عينان زرقاوان، شخص يقفز في الهواء، شخصان يتحدثان، ثلاثة أصدقاء، رضيع نائم، لون أحمر، خلفية بيضاء
أبيض وأسود
""".replace("\n", "، ")
    .strip("، ")
    .split("، ")
)  # short and long queries for things, scenes, people and colours; written for this purpose

_ARABIC, _LATIN = "ابتثجحخدذرزسشصضطظعغفقكلمنهوي", "abcdefghijklmnopqrstuvwxyz"


def nonsense_queries() -> list[str]:
    """Return NONSENSE strings of random letters, three quarters of them Arabic; always the same strings."""
    return [_letters(i) if i % 2 else f"{_letters(i)} {_letters(NONSENSE + i)}" for i in range(NONSENSE)]


def _letters(number: int) -> str:
    drawn = hashlib.sha256(str(number).encode()).digest()
    alphabet = _ARABIC if number % 4 else _LATIN
    return "".join(alphabet[byte % len(alphabet)] for byte in drawn[1 : 4 + drawn[0] % 6])


def reference_vectors(folder: Path, model: Encoder) -> ReferenceVectors:
    """Return the reference queries' vectors: read them from their cache file in `folder`, or encode and cache them."""
    path = folder / f"background-{model.fingerprint}-{VERSION}.f32"
    size = (len(EVERYDAY) + NONSENSE) * model.width * 4
    stored = atomic.read_checked(path)
    if stored is not None and len(stored) == size:
        vectors = np.frombuffer(stored, "<f4").reshape(-1, model.width)
        return ReferenceVectors(vectors[: len(EVERYDAY)], vectors[len(EVERYDAY) :])
    vectors = text_vectors(model, [*EVERYDAY, *nonsense_queries()])
    with contextlib.suppress(OSError):  # read-only or full disk: the next process needs a second to encode again
        atomic.write_checked(path, vectors.astype("<f4").tobytes())
        for stale in folder.glob("background-*"):
            if stale != path:
                atomic.unlink(stale)
    return ReferenceVectors(vectors[: len(EVERYDAY)], vectors[len(EVERYDAY) :])
