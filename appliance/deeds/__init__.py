"""The deeds: one use case a file. A deed is made once, by `appliance.app`, with the rooms it needs; doors call it."""
