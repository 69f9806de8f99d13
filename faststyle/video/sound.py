"""Encode sound again where a container cannot hold its codec."""

from typing import Any

from faststyle.video.containers import import_av

# By container; AAC elsewhere. AVI stores no delay of an encoder, and that of AC-3 is the smallest.
ENCODERS = {"webm": "libopus", "avi": "ac3"}
TITLES = {"libopus": "Opus", "ac3": "AC-3", "aac": "AAC"}
LAYOUTS = {1: "mono", 6: "5.1"}  # by number of channels; others become stereo
BITS_PER_CHANNEL = 96_000  # per second
MAX_BITS_PER_SAMPLE = 6  # the limit of AAC; it lowers the bit rate of telephone sound


def sound_encoder(form: str) -> str | None:
    """Return the name of a container's sound encoder; None if this PyAV does not have that encoder."""
    name = ENCODERS.get(form, "aac")
    return name if name in import_av().codecs_available else None


class SoundEncoder:
    """Decodes the packets of a sound track and encodes them for another container.

    Args:
        target: Container to add the stream to.
        name: Encoder.
        source: Stream of the source.
    """

    def __init__(self, target: Any, name: str, source: Any):
        self.av, self.decoder = import_av(), source.codec_context
        rates = self.av.codec.Codec(name, "w").audio_rates
        given = self.decoder.sample_rate
        rate = given if rates is None else min((r for r in rates if r >= given), default=max(rates))
        self.stream = target.add_stream(name, rate=rate)
        context = self.stream.codec_context
        context.layout = LAYOUTS.get(self.decoder.channels, "stereo")
        context.bit_rate = min(BITS_PER_CHANNEL, MAX_BITS_PER_SAMPLE * rate) * context.layout.nb_channels

    def convert(self, packet: Any) -> list[Any]:
        """Decode a packet of the source, and return the encoded packets; None ends the sound.

        Raises:
            FFmpegError: The packet is damaged.
            ValueError: The sound's format changes.
        """
        frames = self.decoder.decode(packet)
        packets = [part for frame in frames for part in self.stream.encode(frame)]
        return packets if packet is not None else [*packets, *self.stream.encode(None)]
