#!/usr/bin/env bash
# Lines of src by room, with and without tests; long files and functions. Fails above the limits.
exec python3 "$(dirname "$0")/size.py" "$@"
