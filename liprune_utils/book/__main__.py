"""``python -m liprune_utils.book``: the commands of the build."""

import sys

from liprune_utils.book.build import main

sys.exit(main())
