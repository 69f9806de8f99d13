"""Video files, animated pictures, folders of frames and cameras ⇄ streams of frames."""
