"""Streams of frames from and to video files, animated images, folders of frames and cameras."""
