"""Train a style: python train.py --style painting.jpg --content photos/"""

from faststyle.cli.train import main

if __name__ == "__main__":
    main()
