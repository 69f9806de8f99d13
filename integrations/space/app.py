"""The web page in a Space of Hugging Face."""

import sys

from faststyle.web.__main__ import main

if __name__ == "__main__":
    main(["--host", "0.0.0.0", "--port", "7860", *sys.argv[1:]])
