#!/usr/bin/env bash
# System packages that only the browser tests need. Run by make test; does nothing when they are there.
set -uo pipefail

packages=(chromium fonts-dejavu-core)
for o in ${CHROMIUM:-} chromium chromium-browser google-chrome; do command -v "$o" >/dev/null && exit 0; done

as_root=
if [ "$(id -u)" != 0 ]; then
  if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root=sudo; else as_root=no; fi
fi
if [ "$as_root" = no ] || ! command -v apt-get >/dev/null; then
  cat >&2 <<END
The browser tests need Chromium, and this user cannot install it. As root, on Debian or Ubuntu:
    apt-get install -y --no-install-recommends ${packages[*]}
or set CHROMIUM to the path of a Chrome or Chromium. Without it the tests that open a page in a browser are skipped;
everything else is tested.
END
  exit 0
fi
echo "Installing ${packages[*]} (for the browser tests)"
{ $as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends "${packages[@]}"; } >/dev/null ||
  echo "apt-get could not install ${packages[*]}: the tests that open a page in a browser will be skipped." >&2
exit 0
