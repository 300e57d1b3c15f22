"""Ingest videos, after the pictures: a frame of each scene of a video becomes a picture.

hash ─► known video: its scenes get a further path; new video: decode (in a separate process), encode, commit

All scenes of a video are committed together or not at all; a killed run begins the unfinished video again.
"""

import os
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import IO, Any, cast

from araclip.errors import ImageError, ImageTooLarge, UnreadableImage
from araclip.gallery.catalog.records import File
from araclip.gallery.catalog.sql_store import Turn
from araclip.gallery.catalog.store import Store
from araclip.gallery.ingest.intake import Intake, Refused, Source, vectors_in_batches
from araclip.models.encoder_base import Encoder
from araclip.pictures.image_transform import ImageTransform, transform_of
from araclip.pictures.images import map_ahead, open_file
from araclip.pictures.video.decoder import DecodedScenes, find_scenes, stop_all
from araclip.pictures.video.formats import is_video, scenes_wanted
from araclip.pictures.video.scenes import Scene, file_hash, file_of, scene_digest, scene_of, scene_path

MAX_BYTES = 50_000_000_000  # limit: bytes of a video file
FEW = 16  # the hashes of at most this many picture files are looked up one by one; for more, all are read
AHEAD = 2  # videos decoded at a time; their scenes wait in memory (60 scenes of 224 pixels take 9 MB)

Times = tuple[float, ...]
Done = Callable[[float], None]  # called with the number of finished videos, plus the finished share of the next


def scene_paths(files: Iterable[str]) -> dict[str, list[str]]:
    """Return, by the path of a video, the paths of its scenes; paths of other files are left out."""
    found: dict[str, list[str]] = {}
    for path in files:
        if (scene := scene_of(path)) is not None:
            found.setdefault(scene.video, []).append(path)
    return found


def merge_scenes(stored: Mapping[str, File]) -> dict[str, File]:
    """Return indexed files by path, with the video itself in place of its scenes."""
    return {(file := file_of(path)): File(file, about.size, about.mtime_ns) for path, about in stored.items()}


def stored_paths(catalog: Store, file: str) -> dict[str, File]:
    """Return path → file for what is indexed for a file: the file itself or, for a video, its scenes."""
    return {path: about for path, about in catalog.files(file).items() if file_of(path) == file}


@dataclass(frozen=True)
class _ReadVideo:
    """A video that was read: its file and hash, and the times of its scenes.

    `scenes` holds the decoded scenes; None if the gallery has them already.
    """

    file: File
    digest: bytes
    times: Times
    scenes: DecodedScenes | None


class VideoIntake:
    """Ingests the videos of one run. `committed` counts the videos; `scenes` holds the scenes' paths of each video."""

    def __init__(
        self, catalog: Store, model: Encoder, turn: Turn, stored: Mapping[str, File], scenes: int | None = None
    ) -> None:
        """Prepare to ingest the videos of a run.

        Args:
            stored: the gallery's files, to recognise videos that were moved or copied.
            scenes: how many scenes a video may have, 1 to 500; None means $ARACLIP_SCENES, or 60 if that is not set.
        """
        self.committed = 0
        self.scenes: dict[str, list[str]] = {}
        self._catalog, self._model, self._turn = catalog, model, turn
        self._most = scenes_wanted(scenes)
        self._transform: ImageTransform = transform_of(model)
        # size of a file → for each indexed video of that size, the times of its scenes
        self._known_times: dict[int, list[Times]] = {}
        # SHA-256 hashes of all indexed pictures, read beforehand because threads cannot share the connection
        self._known_digests = set[bytes]()
        for paths in scene_paths(stored).values():
            times = tuple(cast(Scene, scene_of(path)).time for path in sorted(paths))
            self._known_times.setdefault(stored[paths[0]].size, []).append(times)

    def ingest(
        self,
        videos: Sequence[File],
        refused: Refused,
        done: Done = lambda count: None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[bool]:
        """Ingest videos; return for each whether it was committed. `refused` is called for the videos that were not."""
        taken: list[bool] = []
        if any(video.size in self._known_times for video in videos):
            self._known_digests = self._catalog.digests()
        progress = _Progress(done)
        reading = map_ahead(lambda each: self._read(*each, progress), enumerate(videos), AHEAD, AHEAD, stop_all)
        with closing(reading) as ahead:  # if this run ends early, the decoders are stopped
            for (number, _), read in ahead:
                error = read if isinstance(read, OSError | ImageError) else None
                if isinstance(read, _ReadVideo):
                    try:
                        self._commit(read, metadata[number] if metadata else None)
                    except ImageError as late:  # refuses one video; an OSError, such as a full disk, ends the run
                        error = late
                if error is not None:
                    refused(number, error)
                taken.append(error is None)
                progress.report_done(number)
        return taken

    def _read(self, number: int, file: File, progress: "_Progress") -> _ReadVideo | OSError | ImageError:
        """Hash a video, and decode its scenes unless the gallery has them; return the error if that fails."""
        try:
            with open_file(file.path) as stream:
                # size and time as they are now, because the file may have changed since its folder was listed
                file = File.of(file.path, os.fstat(stream.fileno()))
                if file.size > MAX_BYTES:
                    most = f"the limit is {MAX_BYTES / 1e9:.0f} GB"
                    raise ImageTooLarge(f"{file.path}: {file.size / 1e9:.0f} GB, {most}. Save a smaller copy.")
                digest = file_hash(stream, file.path)
                # a video that the gallery has is not decoded again: the known times of its scenes are taken
                for times in self._known_times.get(file.size, ()):
                    if self._known_digests.issuperset(_scene_digests(digest, times)):
                        return _ReadVideo(file, digest, times, None)
                return self._decode(stream, file, digest, lambda share: progress.report_part(number, share))
        except (OSError, ImageError) as error:
            return error.with_traceback(None)

    def _decode(self, stream: IO[bytes], file: File, digest: bytes, progress: Callable[[float], None]) -> _ReadVideo:
        found = find_scenes(stream, file.path, self._transform, self._most, progress)
        if File.of(file.path, os.fstat(stream.fileno())) != file:
            raise UnreadableImage(f"{file.path}: it changed while it was read. Index it again when it is complete.")
        return _ReadVideo(file, digest, found.times, found)

    def _commit(self, read: _ReadVideo, metadata: Mapping[str, Any] | None) -> None:
        """Commit a video with its scenes.

        Raises:
            OSError, ImageError: the gallery had the scenes, they were removed meanwhile, and decoding them now fails.
        """
        if read.scenes is None:
            with self._turn(), self._catalog.writing():
                found = [self._catalog.content(each) for each in _scene_digests(read.digest, read.times)]
                ids = [content for content in found if content is not None]
                if len(ids) == len(found):
                    self._record_scenes(read, ids, metadata)
                    return
            with open_file(read.file.path) as stream:
                read = self._decode(stream, read.file, read.digest, lambda share: None)
        scenes = read.scenes
        assert scenes is not None
        vectors = vectors_in_batches(self._model, [*scenes.pixels])
        with self._turn(), self._catalog.writing():
            ids, new = [], set[int]()
            for time, vector, bits in zip(read.times, vectors, scenes.phashes, strict=True):
                digest = scene_digest(read.digest, time)
                known = self._catalog.content(digest)
                ids.append(self._catalog.add_content(digest, vector))
                if known is None:
                    new.add(ids[-1])
                self._catalog.put_facts(ids[-1], scenes.facts, bits)
            self._record_scenes(read, ids, metadata, new)

    def _record_scenes(
        self, read: _ReadVideo, ids: Sequence[int], metadata: Mapping[str, Any] | None, new: Collection[int] = ()
    ) -> None:
        """Record that a video file has these scenes; remove the earlier scenes of the file that are not among them."""
        file, paths = read.file, [scene_path(read.file.path, time) for time in read.times]
        for path, content in zip(paths, ids, strict=True):
            stored = File(path, file.size, file.mtime_ns)
            self._catalog.put_file(stored, content, metadata, new=content in new)
        self._catalog.remove_files([old for old in stored_paths(self._catalog, file.path) if old not in paths])
        self.committed += 1
        self.scenes[file.path] = paths
        self._known_times.setdefault(file.size, []).append(read.times)
        self._known_digests.update(_scene_digests(read.digest, read.times))


def _scene_digests(video: bytes, times: Times) -> list[bytes]:
    return [scene_digest(video, time) for time in times]


def ingest_pictures_and_videos(
    catalog: Store, model: Encoder, turn: Turn, sources: Sequence[Source], refused: Refused,
    metadata: Sequence[Mapping[str, Any]] | None, scenes: int | None,
) -> list[str | None]:  # fmt: skip
    """Ingest the pictures, and then the videos, among the sources; return each source's path, None if refused."""

    def select(numbers: list[int]) -> tuple[Refused, list[Mapping[str, Any]] | None]:
        mine = None if metadata is None else [metadata[number] for number in numbers]
        return lambda n, error: refused(numbers[n], error), mine

    videos = {n: each for n, each in enumerate(sources) if isinstance(each, File) and is_video(each.path)}
    others = [number for number in range(len(sources)) if number not in videos]
    refuse, about = select(others)
    few = sum(isinstance(sources[number], File) for number in others) <= FEW
    intake = Intake(catalog, model, turn, few=few)
    found = intake.ingest([sources[number] for number in others], refuse, metadata=about)
    paths = dict(zip(others, found, strict=True))
    if videos:
        refuse, about = select(list(videos))
        of_videos = VideoIntake(catalog, model, turn, catalog.files(), scenes)
        taken = of_videos.ingest(list(videos.values()), refuse, metadata=about)
        paths |= {n: file.path if good else None for (n, file), good in zip(videos.items(), taken, strict=True)}
    return [paths[number] for number in range(len(sources))]


class _Progress:
    """Turns the progress of several videos that are decoded at once into one number that never falls."""

    def __init__(self, done: Done) -> None:
        self._done, self._count, self._shares = done, 0, dict[int, float]()
        self._lock = threading.Lock()

    def report_part(self, number: int, share: float) -> None:
        """Report the finished share of a video; called from the threads that decode."""
        with self._lock:
            self._shares[number] = share
            self._done(self._count + min(0.99, self._shares.get(self._count, 0.0)))

    def report_done(self, number: int) -> None:
        with self._lock:
            self._count = number + 1
            self._done(self._count)
