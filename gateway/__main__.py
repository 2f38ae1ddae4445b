"""Lets `python -m gateway` stand for `doorward`; knows no command."""

import sys

from gateway.cli.main import main

sys.exit(main())
