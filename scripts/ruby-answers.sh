#!/usr/bin/env bash
# Records what real Ruby prints for the snippets in tests/ruby: the answers that our interpreter is compared with.
# Usage: scripts/ruby-answers.sh
set -euo pipefail

cd "$(dirname "$0")/.."
command -v ruby >/dev/null || { echo 'ruby-answers: install ruby first (apt-get install --no-install-recommends ruby)' >&2; exit 1; }
ruby tests/ruby/record.rb
