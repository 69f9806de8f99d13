"""Copy sound, subtitles, chapters and metadata from one video file to another, packet by packet.

Sound that the other container cannot hold is encoded again.
"""

import io
from fractions import Fraction
from math import inf
from typing import Any

from faststyle.errors import first_line
from faststyle.video.clips import Clip
from faststyle.video.containers import import_av, open_file
from faststyle.video.sound import TITLES, SoundEncoder, sound_encoder

# Metadata that a container writes itself, or that is no longer true of the video.
DROPPED_KEYS = {"major_brand", "minor_version", "compatible_brands", "encoder", "rotate", "duration"}
COPIED_TYPES = {"audio": "sound", "subtitle": "subtitles"}
DEFAULT_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}  # by number of channels


def copied_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """Return the metadata that stay true in a copy."""
    return {
        k: v
        for k, v in metadata.items()
        if k.lower() not in DROPPED_KEYS and not k.startswith(("_STATISTICS", "BPS"))
    }


class Tracks:
    """A second reader of the source file, whose packets are muxed in step with the video."""

    def __init__(self, clip: Clip, target: Any, form: str, suffix: str, notes: list[str]):
        self.clip, self.target, self.form, self.suffix, self.notes = clip, target, form, suffix, notes
        self.source: Any = None
        self.pending: Any = None
        self.copies: dict[int, Any] = {}  # streams of the target, by index in the source
        self.filters: dict[int, Any] = {}
        self.encoders: dict[int, SoundEncoder] = {}  # by index in the source
        if clip.path is None or form == "gif":
            return
        self.av = import_av()
        self.source = open_file(clip.path)
        target.metadata.update(copied_metadata(self.source.metadata))
        chosen = [stream for stream in self.source.streams if self.add(stream)]
        self.add_chapters()
        if clip.start and chosen:
            self.source.seek(int(clip.origin * 1_000_000))
        self.packets = self.source.demux(*chosen) if chosen else iter(())
        self.pending = self.next_packet()

    def add(self, stream: Any) -> bool:
        """Add a stream to the target; return False where it is not copied."""
        if stream.type in COPIED_TYPES:
            refused = self.unsupported_codec(stream)
            copy = self.add_copied(stream) if refused is None else self.add_encoded(stream, refused)
            if copy is not None:
                copy.metadata.update(copied_metadata(stream.metadata))
                copy.disposition = stream.disposition
                return True
        elif stream.type == "attachment" and self.form == "matroska":
            self.target.add_stream_from_template(stream)
        stream.discard = self.av.stream.Discard.all
        return False

    def add_copied(self, stream: Any) -> Any:
        """Add a stream whose packets are copied, and return the target's stream."""
        copy = self.copies[stream.index] = add_copy(self.target, stream)
        # AAC from broadcasts has ADTS headers, which these muxers do not remove.
        aac = stream.codec_context.name == "aac" and not stream.codec_context.extradata
        if aac and self.form in ("mp4", "mov"):
            filter = self.av.bitstream.BitStreamFilterContext("aac_adtstoasc", stream)
            self.filters[stream.index] = filter
        return copy

    def add_encoded(self, stream: Any, codec: str) -> Any:
        """Add a stream of sound that is encoded again, and note that for the user.

        Args:
            stream: The source's stream.
            codec: Its codec, which the target cannot hold.

        Returns:
            The target's stream; None if the track is left out, because nothing decodes or encodes it.
        """
        what = f"{COPIED_TYPES[stream.type]} in {codec} cannot be stored in {self.suffix}"
        name, context = sound_encoder(self.form), stream.codec_context
        if stream.type != "audio" or name is None or context is None or not context.sample_rate:
            self.notes.append(f"{what}: left out")
            return None
        self.encoders[stream.index] = encoder = SoundEncoder(self.target, name, stream)
        self.notes.append(f"{what}: encoded again as {TITLES[name]}")
        return encoder.stream

    def unsupported_codec(self, stream: Any) -> str | None:
        """Return the name of a stream's codec that the target cannot hold; None if it can."""
        if stream.codec_context is None:
            return "unknown"
        try:
            with self.av.open(io.BytesIO(), "w", format=self.form) as trial:
                add_copy(trial, stream)
                trial.start_encoding()
        except (self.av.FFmpegError, ValueError, OSError):
            return stream.codec_context.codec.canonical_name
        return None

    def add_chapters(self) -> None:
        chapters, until = [], self.clip.until
        for chapter in self.source.chapters():
            base, shift = chapter["time_base"], self.clip.origin
            start, end = chapter["start"] * base - shift, chapter["end"] * base - shift
            if end > 0 and start < until:
                chapter["start"] = round(max(start, Fraction(0)) / base)
                chapter["end"] = round((end if until == inf else min(end, until)) / base)
                chapters.append(chapter)
        if chapters:
            self.target.set_chapters(chapters)

    def next_packet(self) -> Any:
        """Return the next packet to copy, with the target's times; None after the last."""
        until = self.clip.until
        try:
            for packet in self.packets:
                shown = packet.pts if packet.pts is not None else packet.dts
                if shown is None:
                    continue
                base = packet.time_base
                shift = round(self.clip.origin / base)
                at = (shown - shift) * base
                if (self.clip.start and at < 0) or at >= until:
                    continue
                packet.pts = shown - shift
                packet.dts = packet.pts if packet.dts is None else packet.dts - shift
                if packet.stream.type == "subtitle" and until != inf and packet.duration:
                    packet.duration = min(packet.duration, int((until - at) / base))
                return packet
        except (self.av.FFmpegError, OSError) as error:
            self.note_damage(error)
        return None

    def copy_until(self, time: Fraction | None) -> None:
        """Mux packets up to a time in seconds, or all."""
        while self.pending is not None:
            packet = self.pending
            if time is not None and packet.dts * packet.time_base > time:
                return
            number = packet.stream_index
            if number in self.encoders:
                self.encode(self.encoders[number], packet)
            else:
                for part in self.filters[number].filter(packet) if number in self.filters else [packet]:
                    part.stream = self.copies[number]
                    self.target.mux(part)
            self.pending = self.next_packet()

    def encode(self, encoder: SoundEncoder, packet: Any) -> None:
        """Mux what an encoder makes of a packet; None is the end."""
        try:
            packets = encoder.convert(packet)
        except (self.av.error.InvalidDataError, ValueError) as error:
            self.note_damage(error)
            return
        for part in packets:
            self.target.mux(part)

    def note_damage(self, error: Exception) -> None:
        note = f"the sound of {self.clip.name} is damaged: {first_line(error)}"
        if note not in self.notes:
            self.notes.append(note)

    def finish(self) -> None:
        """Mux what the encoders of sound still hold."""
        for encoder in self.encoders.values():
            self.encode(encoder, None)

    def close(self) -> None:
        self.pending = None
        if self.source is not None:
            self.source.close()


def add_copy(target: Any, stream: Any) -> Any:
    """Add a stream like the given one to a container."""
    copy = target.add_stream_from_template(stream)
    if stream.type == "audio" and stream.codec_context.layout.name.endswith("channels"):
        # Some files store only the number of channels.
        usual = DEFAULT_LAYOUTS.get(stream.codec_context.channels)
        if usual is not None:
            copy.codec_context.layout = usual
    return copy
