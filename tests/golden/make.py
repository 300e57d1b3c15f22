"""Write araclip-mini.json: a few canonical vectors, and recall on drawings (`drawings.py`).

Run it when new weights are committed (extra `demo`):

python tests/golden/make.py
"""

import json
import tempfile
from pathlib import Path

from drawings import EVERY, recall_on_drawings

from araclip import AraCLIP

TEXTS = ("قطة على طاولة", "كلب أسود يجري على الشاطئ", "a red car", "🚀 صاروخ")

model = AraCLIP.load()
vectors = {
    text: [round(float(x), 4) for x in vector] for text, vector in zip(TEXTS, model.encode_text(TEXTS), strict=True)
}
with tempfile.TemporaryDirectory() as folder:
    recall = {name: round(value, 4) for name, value in recall_on_drawings(model, Path(folder)).items()}
golden = {"fingerprint": model.config.fingerprint, "texts": vectors, "drawings": {"every": EVERY, **recall}}
path = Path(__file__).with_name("araclip-mini.json")
path.write_text(json.dumps(golden, ensure_ascii=False) + "\n", encoding="utf-8")
