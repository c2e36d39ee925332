"""`python -m gastown` is `gt`."""

import sys

from gastown.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
