"""The background that relevance is measured against: what people ask galleries for, and what nobody does.

Their vectors belong to a model and lie beside the catalogue, so that a search from a cold shell encodes one text only.
"""

import contextlib
import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip import atomic
from araclip.encoder import Encoder

VERSION = 1  # of the two lists; raise it when they change
MEANINGLESS = 64

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
)  # written for this purpose: things, scenes, people, colours; short and long

_ARABIC, _LATIN = "ابتثجحخدذرزسشصضطظعغفقكلمنهوي", "abcdefghijklmnopqrstuvwxyz"


def meaningless() -> list[str]:
    """Letters in a row that mean nothing, three quarters of them Arabic; the same ones everywhere."""
    return [_letters(i) if i % 2 else f"{_letters(i)} {_letters(MEANINGLESS + i)}" for i in range(MEANINGLESS)]


def _letters(number: int) -> str:
    drawn = hashlib.sha256(str(number).encode()).digest()
    alphabet = _ARABIC if number % 4 else _LATIN
    return "".join(alphabet[byte % len(alphabet)] for byte in drawn[1 : 4 + drawn[0] % 6])


def background(folder: Path, model: Encoder) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors of the everyday queries (E, D) and of the meaningless ones (M, D), from their file or encoded anew."""
    path = folder / f"background-{model.fingerprint}-{VERSION}.f32"
    size = (len(EVERYDAY) + MEANINGLESS) * model.width * 4
    stored = atomic.read_checked(path)
    if stored is not None and len(stored) == size:
        vectors = np.frombuffer(stored, "<f4").reshape(-1, model.width)
        return vectors[: len(EVERYDAY)], vectors[len(EVERYDAY) :]
    vectors = model.encode_text([*EVERYDAY, *meaningless()])
    with contextlib.suppress(OSError):  # read-only or full: the next start encodes them again, about a second
        atomic.write_checked(path, vectors.astype("<f4").tobytes())
        for stale in folder.glob("background-*"):
            if stale != path:
                atomic.unlink(stale)
    return vectors[: len(EVERYDAY)], vectors[len(EVERYDAY) :]
