"""`python -m g3d`, and `torchrun -m g3d`."""

from g3d.cli.app import main

if __name__ == "__main__":
    main()
