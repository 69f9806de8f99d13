"""Stylize images: python infer.py photo.jpg --checkpoint starry_night"""

from faststyle.cli.main import infer

if __name__ == "__main__":
    infer()
