"""The pictures of a stage whose image tower never learns."""

import copy
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from araclip import atomic
from araclip.errors import DataError
from araclip.training.data.picture_contents import contents_hash
from araclip.training.foreign.failures import failures
from araclip.training.inputs.encoded_images import EncodedImages, encoded, projected
from araclip.training.inputs.pixels import Pixels
from araclip.training.inputs.pooled_features import eval_batches, pooled_features
from araclip.training.model.model import AraCLIPModel
from araclip.training.recipe.stages import ImageSide
from araclip.training.small_cnn import batchnorm
from araclip.training.small_cnn.branches import is_splittable, split, upper_modules
from araclip.training.small_cnn.frozen_features import FeatureMaps, FrozenFeatures, FrozenFeaturesGraph, Log

_FROM_PIXELS = ImageSide()


class LockedImages:
    """The tower never learns: its pooled outputs are computed once and stored on disk (LiT, Zhai et al. 2022).

    Args:
        side: with `frozen_blocks`, the outputs of a convolutional tower are computed from the cached feature maps of
            these blocks, which stages whose upper blocks learn have left. For a model that averages over mirror images
            the second map is read, too, whose picture is mirrored and recoloured.

    Raises:
        RecipeError: a convolutional tower cannot be cut after these blocks.
    """

    def __init__(
        self, model: AraCLIPModel, pixels: Pixels, pictures: Sequence[Path], cache: Path, log: Log,
        side: ImageSide = _FROM_PIXELS,
    ) -> None:  # fmt: skip
        self.model, self.pixels, self.cache, self.log = model, pixels, cache, log
        self._blocks = side.frozen_blocks if is_splittable(model.vision_model) else 0
        model.vision_model.requires_grad_(False)
        self.modules: list[nn.Module] = []
        self.features = self._features(pictures, side.views)  # (N, W) float16
        self._cached = {tuple(pictures): self.features}

    def inputs(self, rows: Sequence[int], step: int) -> Tensor:
        """(B, W), the tower's pooled outputs."""
        return torch.from_numpy(self.features[list(rows)].astype(np.float32))

    def encode(self, inputs: Tensor) -> EncodedImages:
        """One vector a picture; only the projection computes."""
        return encoded(self.model, inputs)

    def vectors(self, pictures: Sequence[Path]) -> Tensor:
        """(N, D) of any pictures; they pass the tower at the first call only."""
        key = tuple(pictures)
        if key not in self._cached:
            self._cached[key] = self._features(pictures)
        return projected(self.model, torch.from_numpy(self._cached[key].astype(np.float32)))

    def close(self) -> None:
        """Nothing to restore."""

    def _features(self, pictures: Sequence[Path], views: int = 1) -> NDArray[np.float16]:
        """(N, W); a picture that two sets have passes the tower once."""
        once = {picture: row for row, picture in enumerate(dict.fromkeys(pictures))}
        features = self._stored(list(once), views)
        return features if len(once) == len(pictures) else features[[once[picture] for picture in pictures]]

    def _stored(self, pictures: Sequence[Path], views: int) -> NDArray[np.float16]:
        scales = getattr(self.model.vision_model.config, "map_scales", None)
        pixels = (self.pixels.size, self.pixels.mean, self.pixels.std)
        digest = hashlib.sha256(repr((pixels, self.model.config.vision_pooling, scales)).encode())
        if self.model.config.vision_mirror:
            digest.update(b"mirror")
        if self._blocks:
            digest.update(b"maps")
        for tensor in self.model.vision_model.state_dict().values():
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        digest.update(contents_hash(pictures).encode())
        path = self.cache / f"features-{digest.hexdigest()[:16]}.npy"
        if not path.exists():
            self.cache.mkdir(parents=True, exist_ok=True)
            if self._blocks:
                features = self._from_maps(pictures, views)
            else:
                features = pooled_features(self.model, self.pixels, pictures, self.log)
            atomic.write_array(path, features.to(torch.float16).cpu().numpy())
        with failures(path, "delete it, and start the same command again", DataError, cannot="be read"):
            found: NDArray[np.float16] = np.load(path)
        return found

    @torch.inference_mode()
    def _from_maps(self, pictures: Sequence[Path], views: int) -> Tensor:
        """(N, W): the tower's outputs for whole pictures, of which `views` maps are cached."""
        tower, mirror = copy.deepcopy(self.model.vision_model).eval(), self.model.config.vision_mirror
        batchnorm.fuse(upper_modules(tower, self._blocks))
        shared, upper = split(tower, self._blocks)
        frozen = FrozenFeaturesGraph(FrozenFeatures(shared, self.pixels.mean, self.pixels.std), self.pixels.size)
        maps = FeatureMaps(frozen, pictures, max(views, 2) if mirror else views, self.cache, self.log)
        device, parts = self.model.logit_scale.device, []
        for rows in eval_batches(len(pictures), self.log):
            sides = [upper(maps.whole(rows, view).to(device)) for view in ((0, 1) if mirror else (0,))]
            parts.append(torch.stack(sides).mean(dim=0))
        return torch.cat(parts)
