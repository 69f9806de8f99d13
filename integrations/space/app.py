"""The web page in a Hugging Face Space, which expects the server on port 7860."""

import sys

from faststyle.web.__main__ import main

if __name__ == "__main__":
    main(sys.argv[1:] or ["--host", "0.0.0.0", "--port", "7860"])
