"""Train a style: python train.py --style painting.jpg --content photos/"""

from faststyle.console import one_line_errors

if __name__ == "__main__":
    with one_line_errors():  # Ctrl-C is answered while torch is imported too
        from faststyle.cli.train import main

        main()
