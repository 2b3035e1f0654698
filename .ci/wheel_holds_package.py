"""Fails unless a wheel holds every tracked or new file of budgetd/, data files too: `wheel_holds_package.py WHEEL`."""

import subprocess
import sys
import zipfile

listed = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard", "budgetd"],  # noqa: S607 -- git is on PATH
    capture_output=True,
    text=True,
    check=True,
).stdout.splitlines()
missing = sorted(set(listed) - set(zipfile.ZipFile(sys.argv[1]).namelist()))
if missing or not listed:
    sys.exit(f"the wheel lacks {len(missing)} of {len(listed)} files: {', '.join(missing)}")
