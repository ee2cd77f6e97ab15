#!/usr/bin/env bash
# System packages that only the browser tests need. Run by make test; does nothing if a browser is installed.
set -uo pipefail

packages=(chromium fonts-dejavu-core)
for browser in ${CHROMIUM:-} chromium chromium-browser google-chrome; do
  command -v "$browser" >/dev/null && exit 0
done

as_root=
if [ "$(id -u)" != 0 ]; then
  if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root=sudo; else as_root=no; fi
fi
if [ "$as_root" = no ] || ! command -v apt-get >/dev/null; then
  cat >&2 <<END
The browser tests need Chromium, and this user cannot install it. As root, on Debian or Ubuntu:
    apt-get install -y --no-install-recommends ${packages[*]}
or set CHROMIUM to the path of a Chrome or Chromium. Without it, the tests that open a page in a browser are skipped;
all others run.
END
  exit 0
fi

install() {
  export DEBIAN_FRONTEND=noninteractive
  $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends "${packages[@]}"
}
echo "Installing ${packages[*]} (for the browser tests)"
install >/dev/null ||
  echo "apt-get could not install ${packages[*]}: the tests that open a page in a browser will be skipped." >&2
exit 0
