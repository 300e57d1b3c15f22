"""Write araclip-mini.json: the first numbers of a few canonical vectors. Run it when new weights are committed.

python tests/golden/make.py
"""

import json
from pathlib import Path

from araclip import AraCLIP

TEXTS = ("قطة على طاولة", "كلب أسود يجري على الشاطئ", "a red car", "🚀 صاروخ")

model = AraCLIP.load()
heads = {
    text: [round(float(x), 4) for x in vector[:8]] for text, vector in zip(TEXTS, model.encode_text(TEXTS), strict=True)
}
golden = {"fingerprint": model.config.fingerprint, "texts": heads}
path = Path(__file__).with_name("araclip-mini.json")
path.write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
