"""How often an Arabic emoji name finds its drawing: every OpenMoji drawing of the demo, asked by its name.

    python benchmarks/drawings.py    (extra demo; run `araclip demo` first, which draws and indexes them)

The drawings were in araclip-mini's training, so this measures memory of the sample gallery, not generalisation.
"""

import numpy as np

from araclip import AraCLIP, normalize
from araclip.demo import sample_pictures
from araclip.evaluation.metrics import ranks, summary
from araclip.gallery import places

model = AraCLIP.load()
folder = places.data_home() / "demo" / "pictures"
samples = [sample for sample in sample_pictures(folder, lambda done, total: None) if sample.emoji]
pictures = model.encode_image(sample.path for sample in samples)
names = [normalize(sample.arabic) for sample in samples]
same_name: dict[str, list[int]] = {}
for row, name in enumerate(names):
    same_name.setdefault(name, []).append(row)
found = ranks(model.encode_text(names), pictures, [same_name[name] for name in names])
result = {key: round(value, 3) for key, value in summary(np.asarray(found)).items()}
print(f"{model.config.label}, {len(samples):,} drawings by Arabic name: {result}")
