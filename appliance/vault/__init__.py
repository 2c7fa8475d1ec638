"""The vault: sealed bytes and the keys that open them. `docs/format.md` is its specification."""
