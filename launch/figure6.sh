#!/usr/bin/env bash
# Figure 6, relative frequency of lambda: prints one command a row and seed. See --help.
number=6
source "$(dirname "${BASH_SOURCE[0]}")/figure5.sh"
