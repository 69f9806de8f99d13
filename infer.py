"""Stylize pictures: python infer.py photo.jpg --checkpoint runs/painting/painting.safetensors"""

from faststyle.cli.main import main

if __name__ == "__main__":
    main()
