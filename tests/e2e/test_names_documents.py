#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The other half of test_names_hostile.py: documents and HTTP."""
from test_names_hostile import HOSTILE, NAMES, large_after_bad, run_cases

if __name__ == "__main__":
    run_cases(HOSTILE[NAMES:], (large_after_bad,))
