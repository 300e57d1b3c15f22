"""Which pictures are right answers to an Arabic caption, judged by the words of all their captions.

A picture is right if it is the caption's own, or if its captions say every content word of it or a near-synonym. People
who describe a picture leave things out, so some right pictures are missed: shares of right answers are lower bounds.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FIELDS = ("caption_ar", "caption_ar_eljundi", "caption_ar_f30k_mt")
FUNCTION_WORDS = {
    "في",
    "على",
    "من",
    "مع",
    "الى",
    "عن",
    "ا",
    "و",
    "او",
    "ثم",
    "هو",
    "هي",
    "هم",
    "بينما",
    "امام",
    "بجانب",
    "خلف",
    "فوق",
    "تحت",
    "داخل",
    "خارج",
    "عبر",
    "بين",
    "قرب",
    "عند",
    "نحو",
    "حول",
    "خلال",
    "اثناء",
    "ذو",
    "ذات",
    "بعض",
    "كل",
    "هذا",
    "هذه",
    "الذي",
    "التي",
    "قد",
    "لا",
    "بلا",
    "يقوم",
    "تقوم",
    "يقومون",
    "واحد",
    "احد",
    "شيء",
    "شيئ",
    "صوره",
    "بالقرب",
    "الخارج",
    "بجوار",
    "اسفل",
    "ان",
    "به",
    "بها",
    "له",
    "لها",
    "عليه",
    "عليها",
    "خلفه",
    "بجانبه",
    "وهو",
    "وهي",
    "بعضهما",
    "بعضهم",
    "منطقه",
    "مكان",
    "يوم",
    "فى",
}
NEAR_SYNONYMS = """
رجل شخص شاب رجال اشخاص شخصان شخصين رجلان رجلين شبان شابان ناس راكب متزلج لاعب لاعبون سائق صبي فتي
امراه سيده فتاه شابه نساء سيدات فتيات امراتان فتاتان شخص ناس طفله بنت
طفل صبي ولد طفله فتاه بنت اطفال صغير صغيره رضيع صغار طفلان صبيان فتاتان طفلتان صغيران طفلين
كلب كلاب كلبان كلبين جرو
يجري يركض تجري تركض يسير يمشي يعدو تسير تمشي يركضون يجرون يركضان يجريان
يقفز تقفز قفز بقفزه يطير الهواء يقفزان يقفزون طائر
يرتدي ترتدي يرتدون لابس يلبس بملابس قميص ملابس ستره زي
ثلج جليد ثلجي ثلوج تزلج
ماء مياه بحر بحيره نهر محيط بركه مسبح موج امواج شاطي مائي
شاطي رمال رمل بحر رملي
عشب عشبي حقل حديقه
صخر صخره صخري صخور جبل منحدر جرف جدار
جبل تل تله قمه منحدر
طريق شارع رصيف ممر مسار
دراجه دراجات بدراجه ناريه دراجته
كره بكره قدم سله
مبني منزل بيت
سياره مركبه شاحنه سباق
يلعب تلعب لعب يلعبون لعبه لاعب لاعبون مباراه
يجلس جالس تجلس يجلسون جالسه مقعد كرسي
يقف تقف يقفون واقف واقفه
حمل يحمل تحمل يمسك تمسك
ينظر تنظر يشاهد يراقب ينظرون
شجره اشجار غابه
يسبح تسبح سباحه
يتسلق تتسلق تسلق متسلق
يركب تركب راكب يقود
جدار حائط سور
سياج حاجز سور
"""
_WORD = re.compile("[\u0621-\u064a]+")
_FOLD = str.maketrans("أإآىة", "اااي" + "ه")


def right_pictures(
    listing: Path, pictures: Sequence[Path], captions: Sequence[str], owner: Sequence[int]
) -> NDArray[np.bool_]:
    """(Q, N) whether each picture is a right answer to each caption; owner: the row of each caption's own picture."""
    rows = {Path(row["image"]).name: row for row in map(json.loads, listing.open(encoding="utf-8"))}
    stems_of = [content_stems(text for field in FIELDS for text in _texts(rows[path.name], field)) for path in pictures]
    said: dict[str, NDArray[np.bool_]] = {}  # stem → (N,) whether a picture's captions say it or a near-synonym
    alternatives = _alternatives()
    right = np.ones((len(captions), len(pictures)), bool)
    for row, caption in enumerate(captions):
        for stem in content_stems([caption]):
            if stem not in said:
                meant = alternatives.get(stem, set()) | {stem}
                said[stem] = np.array([not meant.isdisjoint(stems) for stems in stems_of])
            right[row] &= said[stem]
        right[row, owner[row]] = True
    return right


def content_stems(texts: object) -> set[str]:
    """Light stems of the words that name something."""
    words = (word.translate(_FOLD) for text in texts for word in _WORD.findall(text))  # type: ignore[attr-defined]
    return {_stem(word) for word in words if word not in FUNCTION_WORDS}


def _texts(row: dict[str, object], field: str) -> list[str]:
    value = row.get(field) or []
    return value if isinstance(value, list) else [str(value)]


def _alternatives() -> dict[str, set[str]]:
    out: dict[str, set[str]] = {}
    for line in NEAR_SYNONYMS.strip().splitlines():
        stems = {_stem(word) for word in line.split()}
        for stem in stems:
            out.setdefault(stem, set()).update(stems)
    return out


def _stem(word: str) -> str:
    for prefix in ("وال", "بال", "فال", "كال", "لل", "ال", "و", "ب"):
        if word.startswith(prefix) and len(word) - len(prefix) >= 3:
            word = word[len(prefix) :]
            break
    for suffix in ("ان", "ون", "ين", "ات", "ها", "هم", "ه", "ي", "ا"):
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word[: -len(suffix)]
            break
    return word[1:] if word[0] in "يت" and len(word) >= 4 else word
